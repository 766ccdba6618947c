"""A network in training (`Learner`): loss, optimiser, initial weights, and the state of a run.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) makes the momentum of a matrix orthogonal before
applying it. Its updates are scaled as in Liu et al., Muon is scalable for LLM training, arXiv:2502.16982.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from optax.contrib import MuonDimensionNumbers, muon

from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.parallel import SUPPORT
from universeg_jax.shapes import Array, Float, Int
from universeg_jax.train.config import RunConfig, TrainConfig
from universeg_jax.train.losses import cross_entropy_loss, soft_dice_loss
from universeg_jax.weights import shipped
from universeg_jax.weights.loading import load
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters
from universeg_jax.weights.store import save

Parameters = dict[str, Array]
"""Arrays by name, as `weights.mapping.get_parameters` names them."""


class TrainState(NamedTuple):
    """State of a run after some steps.

    Attributes:
        parameters: arrays that are trained.
        average: their moving average.
        optimizer: state of the optimiser.
        step: number of steps taken.
        frozen: arrays of the network that are not trained. Checkpoints leave them out.
    """

    parameters: Parameters
    average: Parameters
    optimizer: optax.OptState
    step: Int[Array, ""]
    frozen: Parameters = {}  # noqa: RUF012 - a NamedTuple's default, which nothing changes


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clip gradients, then apply Adam; or Muon to kernels and Adam to the rest. Learning rates follow the stages."""
    rates = learning_rates(config)
    if config.muon:
        optimizer = muon(
            rates,
            weight_decay=config.weight_decay,
            adam_weight_decay=config.weight_decay,
            muon_weight_dimension_numbers=_matrices,
            consistent_rms=0.2,  # updates are as large as Adam's, so they use the same learning rates
        )
    else:
        optimizer = optax.adamw(rates, weight_decay=config.weight_decay)
    return optax.chain(clipping(config), optimizer)


def clipping(config: RunConfig) -> optax.GradientTransformation:
    """Return the clipping of gradients by their global norm; nothing without a limit."""
    return optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)


def _matrices(parameters: Parameters) -> dict[str, MuonDimensionNumbers | None]:
    """Tell Muon to treat a kernel (H,W,C,F) as a matrix (HWC,F). The head has one column, so Adam takes it."""
    kernel = MuonDimensionNumbers(reduction_axis=(0, 1, 2), output_axis=3)
    return {name: kernel if ".kernel" in name and not name.startswith("head.") else None for name in parameters}


def learning_rates(config: TrainConfig) -> optax.Schedule:
    """Return the learning rate of every step: in each stage a linear rise, then a cosine decay."""
    schedules = [
        optax.warmup_cosine_decay_schedule(
            stage.learning_rate if stage.warmup_steps == 0 else 0.0,
            stage.learning_rate,
            stage.warmup_steps,
            stage.steps,
            stage.final_learning_rate,
        )
        for stage in config.stages
    ]
    ends = [sum(stage.steps for stage in config.stages[: i + 1]) for i in range(len(config.stages) - 1)]
    return optax.join_schedules(schedules, ends)


def initial_model(config: TrainConfig) -> UniverSeg:
    """Return the network that a run starts from.

    Raises:
        InputError: the weights cannot be loaded, or belong to another network.
    """
    return UniverSeg(config.model, rngs=nnx.Rngs(config.seed)) if config.weights is None else trainable(config.weights)


def trainable(weights: str) -> UniverSeg:
    """Load a UniverSeg by name or path.

    Raises:
        InputError: the weights cannot be loaded, or belong to another network.
    """
    model = load(weights)
    if not isinstance(model, UniverSeg):
        raise InputError(
            f"weights {weights}: belong to a {type(model).__name__}; pass weights of UniverSeg, such as "
            f"{shipped.DEFAULT}"
        )
    return model


def initial_state(
    parameters: Parameters, optimizer: optax.GradientTransformation, *, frozen: Parameters | None = None
) -> TrainState:
    """Return the state before the first step."""
    # Copies: a step reuses the memory of its state, which others may hold too.
    parameters, average, frozen = (jax.tree.map(jnp.copy, arrays) for arrays in (parameters, parameters, frozen or {}))
    return TrainState(parameters, average, optimizer.init(parameters), jnp.zeros((), jnp.int32), frozen)


def with_parameters(config: UniverSegConfig, parameters: Parameters) -> UniverSeg:
    """Return a network with these parameters, which may be traced."""
    model = blueprint(UniverSeg, config)
    set_parameters(model, parameters)
    return model


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
        # The weights are for images of the size in the last stage.
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
