"""Interface between a training run and its network, and the one of UniverSeg."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from universeg_jax.data.episodes.draw import Episode
from universeg_jax.parallel import SUPPORT
from universeg_jax.shapes import Array, Float
from universeg_jax.train.config import TrainConfig
from universeg_jax.train.losses import cross_entropy_loss, soft_dice_loss
from universeg_jax.train.state import Parameters, initial_model, make_optimizer, with_parameters
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import save


class Learner(Protocol):
    """A network with its loss and optimiser, as a run trains it."""

    def initial_parameters(self) -> Parameters:
        """Return the arrays that training starts from.

        Raises:
            InputError: the weights cannot be loaded.
        """
        ...

    def frozen_parameters(self) -> Parameters:
        """Return the arrays of the network that are not trained."""
        ...

    def optimizer(self) -> optax.GradientTransformation:
        """Return the optimiser, with the learning rates of all stages."""
        ...

    def loss(self, parameters: Parameters, episodes: Episode, *, axes: Sequence[str]) -> tuple[Array, Array]:
        """Return loss and Dice of a batch, as `step.Loss` defines it. The parameters include the frozen ones."""
        ...

    def predict(self, parameters: Parameters, episode: Episode) -> Float[Array, "H W"]:
        """Return the probabilities of one target. The parameters include the frozen ones. It can be compiled."""
        ...

    def save(self, parameters: Parameters, folder: Path, *, provenance: Mapping[str, Any]) -> None:
        """Write trained parameters as a folder that `universeg_jax.load` reads, and replace an earlier one."""
        ...


class UniverSegLearner:
    """UniverSeg, trained with soft Dice and cross-entropy (a `Learner`).

    Raises:
        InputError: the weights cannot be loaded, or belong to another network.
    """

    def __init__(self, config: TrainConfig):
        self.config = config
        initial = initial_model(config)
        self._initial = get_parameters(initial)
        # Weights are for images of the size that they were trained on last.
        self.model = dataclasses.replace(initial.config, input_size=config.stages[-1].size)

    def initial_parameters(self) -> Parameters:
        """Return the arrays that training starts from."""
        return self._initial

    def frozen_parameters(self) -> Parameters:
        """Return nothing: all arrays of a UniverSeg are trained."""
        return {}

    def optimizer(self) -> optax.GradientTransformation:
        """Return the optimiser, with the learning rates of all stages."""
        return make_optimizer(self.config)

    def loss(self, parameters: Parameters, episodes: Episode, *, axes: Sequence[str]) -> tuple[Array, Array]:
        """Return loss and Dice of a batch, as `step.Loss` defines it."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        logits = with_parameters(self.model, parameters)(
            episodes.target.astype(dtype),
            episodes.support_images.astype(dtype),
            episodes.support_labels.astype(dtype),
            episodes.support_mask,
            targets_at_once=len(episodes.target),
            support_axis=SUPPORT if SUPPORT in axes else None,
            checkpoint=config.checkpoint_activations,
        )
        dice = soft_dice_loss(logits, episodes.target_label)
        entropy = cross_entropy_loss(logits, episodes.target_label)
        return (config.dice * dice + config.cross_entropy * entropy).mean(), 1 - dice.mean()

    def predict(self, parameters: Parameters, episode: Episode) -> Float[Array, "H W"]:
        """Return the probabilities of one target."""
        arrays = (episode.target, episode.support_images, episode.support_labels, episode.support_mask)
        logits = with_parameters(self.model, parameters)(*(x[None] for x in arrays))
        return jax.nn.sigmoid(logits[0, ..., 0])

    def save(self, parameters: Parameters, folder: Path, *, provenance: Mapping[str, Any]) -> None:
        """Write weights as a folder that `universeg_jax.load` reads, and replace an earlier one."""
        save(with_parameters(self.model, parameters), folder, provenance=provenance, overwrite=True)
