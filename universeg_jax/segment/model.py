"""The interface of an in-context model, and loading one by name or path."""

import os
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import numpy as np

from universeg_jax.errors import InputError
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.models.sam.model import SAM

Array = jax.Array | np.ndarray

Predictor = Callable[..., jax.Array]
"""images (B,H,W,C) -> logits (K,B,H,W,1), one map per class of the support set it was made from.

That of a model whose `padding` is "edge" is also told `regions` (B,4), where in the squares the images lie: top, left,
bottom and right in pixels, the last two excluded.
"""


@runtime_checkable
class InContextModel(Protocol):
    """A model that learns a segmentation task from its support set alone.

    Attributes:
        input_size: side in pixels of the square images it takes.
        input_channels: 1 for grey images, 3 for colour.
        padding: what makes images square, "zeros" or "edge" (see `geometry.Frame`); may be left out, for zeros. With
            "edge", predictors take `regions` as well.
    """

    input_size: int
    input_channels: int

    def prepare(self, images: Array, labels: Array, mask: Array) -> Predictor:
        """Take in a support set and return the predictor of its task.

        Args:
            images: support images (S,H,W,C), float32 in [0,1].
            labels: one label map per class (K,S,H,W,1), float32 in [0,1]; K is 1, the foreground, in a
                binary task.
            mask: (K,S), True where an entry counts for a class; entries that do not change nothing. At least
                one counts for each class.

        The shapes come from a small set of sizes, so a model may compile for each. Those who draw several
        support sets hold several predictors at once.
        """
        ...


def load_in_context(weights: str | os.PathLike) -> InContextModel:
    """The model of a name or path, as `universeg_jax.weights.load` takes it; a SAM is used as ProtoSAM.

    Raises:
        InputError: weights that cannot be loaded, or of a network that cannot be shown examples.
    """
    from universeg_jax.weights import load

    network = load(weights)
    model = ProtoSAM(network) if isinstance(network, SAM) else network
    if not isinstance(model, InContextModel):
        raise InputError(
            f"{weights}: these are weights of a {type(network).__name__}, which segments nothing by examples alone; "
            "pass weights of UniverSeg or of a SAM"
        )
    return model
