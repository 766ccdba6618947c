"""Class values of labels, and the binary problems that a model solves for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.io.mask_values import check_class_count, check_same_marks


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of a task, found in all labels of its support set.

    - Boolean and soft labels are one binary problem. Labels are soft if any value is fractional; all lie in [0,1].
    - Two whole numbers, such as 0/1 or 0/255, are one binary problem. The larger value is the foreground.
    - More whole numbers are one problem for each value, including the background.

    Attributes:
        values: (K,) ascending, in the dtype of the labels; (False, True) for boolean and soft labels. Predicted masks
            hold these values in this dtype.
    """

    values: np.ndarray

    @classmethod
    def of(cls, labels: Sequence[np.ndarray], names: Sequence[str]) -> "Classes":
        """Find the classes.

        Raises:
            InputError: for soft labels outside [0,1], booleans mixed with numbers, masks of 0/1 mixed with masks of
                0/255, a single value in all labels, or more than 64 values.
        """
        fractional = [name for label, name in zip(labels, names, strict=True) if _is_fractional(label)]
        if fractional:
            for label, name in zip(labels, names, strict=True):
                if label.min() < 0 or label.max() > 1:
                    raise InputError(
                        f"the label of {name} has values from {label.min():g} to {label.max():g}, and the label of "
                        f"{fractional[0]} has fractions, so all are soft labels: scale all of them to [0,1]"
                    )
            return cls(np.array([False, True]))
        boolean = [label.dtype == bool for label in labels]
        if all(boolean):
            return cls(np.array([False, True]))
        if any(boolean):
            one, other = boolean.index(True), boolean.index(False)
            raise InputError(
                f"the label of {names[one]} is boolean, the label of {names[other]} is {labels[other].dtype}: "
                "pass all labels as booleans, or all as class values"
            )
        of_each = [np.unique(label) for label in labels]
        values = np.unique(np.concatenate(of_each))
        if values[-1] <= 255:  # larger values may be colours
            check_same_marks({f"the label of {name}": own.tolist() for name, own in zip(names, of_each, strict=True)})
        if len(values) == 1:
            raise InputError(
                f"every pixel of every label is {values[0]}, so there is nothing to segment: mark the structure by a "
                "second value in at least one label, or pass boolean labels if every image is empty or full"
            )
        check_class_count(values.tolist(), "labels")
        return cls(values)

    @property
    def binary(self) -> bool:
        """True if the task has one problem."""
        return len(self.values) == 2

    def problems(self, label: np.ndarray) -> np.ndarray:
        """Split a label (H,W) into maps (H,W,P) of P binary problems, float32 in [0,1]; P is 1 if binary, else K."""
        if self.values.dtype == bool:
            return label[..., None].astype(np.float32)
        return (label[..., None] == (self.values[1:] if self.binary else self.values)).astype(np.float32)

    def probability(self, logits: jax.Array) -> np.ndarray:
        """Turn logits (P,B,H,W,1) into probabilities (B,H,W,P), float32.

        Binary tasks use sigmoid(logits). Tasks with several classes use softmax(10 * sigmoid(logits)) over classes, as
        the official UniverSeg demo does.
        """
        return np.asarray(_probability(logits, self.binary))

    def shifted(self, probability: np.ndarray, threshold: float) -> np.ndarray:
        """Multiply the odds of the foreground in probabilities (…,P) so that the threshold becomes 0.5."""
        if threshold == 0.5:
            return probability
        if self.binary:
            return shift_odds(probability, threshold)
        factors = np.full(probability.shape[-1], 1 - threshold, np.float32)
        factors[0] = threshold  # the background
        weighted = probability * factors
        return weighted / weighted.sum(axis=-1, keepdims=True)

    def mask(self, probability: np.ndarray, *, threshold: float) -> np.ndarray:
        """Turn probabilities (H,W,P) into class values (H,W): above the threshold if binary, else the likeliest."""
        if self.binary:
            return self.values[(probability[..., 0] > threshold).astype(np.intp)]
        return self.values[probability.argmax(axis=-1)]


def winners(probability: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Combine probabilities (…,P) of P structures: the number of the likeliest one above the threshold, or 0."""
    return np.where(probability.max(axis=-1) > threshold, 1 + probability.argmax(axis=-1), 0)


def shift_odds(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Multiply the odds of probabilities so that the threshold becomes 0.5."""
    if threshold == 0.5:
        return probability
    odds = probability * (1 - threshold)
    return odds / (odds + (1 - probability) * threshold)


@partial(jax.jit, static_argnums=1)  # one program rather than one for each step
def _probability(logits: jax.Array, binary: bool) -> jax.Array:
    probability = jax.nn.sigmoid(logits[..., 0].astype(np.float32))
    if not binary:
        probability = jax.nn.softmax(10 * probability, axis=0)
    return jnp.moveaxis(probability, 0, -1)


def _is_fractional(label: np.ndarray) -> bool:
    return label.dtype.kind == "f" and bool((label != np.floor(label)).any())
