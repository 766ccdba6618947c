"""The state of a training run: all that changes from step to step.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) makes the momentum of a matrix orthogonal before
it is applied; its updates are scaled as by Liu et al. (Muon is scalable for LLM training, arXiv:2502.16982).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from optax.contrib import MuonDimensionNumbers, muon

from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.shapes import Array, Int
from universeg_jax.train.config import TrainConfig
from universeg_jax.weights import shipped
from universeg_jax.weights.loading import load
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters

Parameters = dict[str, Array]
"""Arrays by name, as `weights.parameters` names them."""


class TrainState(NamedTuple):
    """Parameters, their moving average, the optimiser's state, and how many steps were taken."""

    parameters: Parameters
    average: Parameters
    optimizer: optax.OptState
    step: Int[Array, ""]


def make_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """Clipping, then Adam, or Muon for kernels and Adam for the rest, with the learning rates of all stages."""
    rates = learning_rates(config)
    if config.muon:
        optimizer = muon(
            rates,
            weight_decay=config.weight_decay,
            adam_weight_decay=config.weight_decay,
            muon_weight_dimension_numbers=_matrices,
            consistent_rms=0.2,  # updates as large as Adam's, so that its learning rates serve
        )
    else:
        optimizer = optax.adamw(rates, weight_decay=config.weight_decay)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def _matrices(parameters: Parameters) -> dict[str, MuonDimensionNumbers | None]:
    """How Muon sees a kernel (H,W,C,F): as a matrix (HWC,F). The head, a kernel of one column, is none to it."""
    kernel = MuonDimensionNumbers(reduction_axis=(0, 1, 2), output_axis=3)
    return {name: kernel if ".kernel" in name and not name.startswith("head.") else None for name in parameters}


def learning_rates(config: TrainConfig) -> optax.Schedule:
    """The learning rate of every step: in each stage a linear rise and a cosine down."""
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
    """The network that a run starts from.

    Raises:
        InputError: weights that cannot be loaded, or are of another network.
    """
    return UniverSeg(config.model, rngs=nnx.Rngs(config.seed)) if config.weights is None else trainable(config.weights)


def trainable(weights: str) -> UniverSeg:
    """The UniverSeg of a name or path, as `universeg_jax.weights.load` takes it.

    Raises:
        InputError: weights that cannot be loaded, or are of another network.
    """
    model = load(weights)
    if not isinstance(model, UniverSeg):
        raise InputError(
            f"weights {weights}: are those of a {type(model).__name__}, a part of ProtoSAM; only those of UniverSeg "
            f"can be trained further, such as {shipped.DEFAULT}"
        )
    return model


def initial_state(model: UniverSeg, optimizer: optax.GradientTransformation) -> TrainState:
    parameters = get_parameters(model)
    # Copies: a step may reuse the memory of one part of the state for another.
    average = jax.tree.map(jnp.copy, parameters)
    return TrainState(parameters, average, optimizer.init(parameters), jnp.zeros((), jnp.int32))


def with_parameters(config: UniverSegConfig, parameters: Parameters) -> UniverSeg:
    """A network with these parameters, which may be traced."""
    model = blueprint(UniverSeg, config)
    set_parameters(model, parameters)
    return model
