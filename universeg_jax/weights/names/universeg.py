"""UniverSeg: names of its parameters in the official code (github.com/JJGO/UniverSeg) and here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from universeg_jax.errors import InputError, WeightsError
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.nn.cross_conv import Activation
from universeg_jax.weights.config_json import read_field
from universeg_jax.weights.mapping import CONV, VECTOR, Entry, export_tensors
from universeg_jax.weights.names import Network, Tensors


def universeg_table(config: UniverSegConfig) -> list[Entry]:
    """Make the table of tensors of the official state dict, in its order."""
    blocks = [(f"enc_blocks.{i}", f"encoder.{i}") for i in range(len(config.encoder_features))]
    blocks += [(f"dec_blocks.{i}", f"decoder.{i}") for i in range(len(config.decoder))]
    table = []
    for theirs, ours in blocks:
        cross_kernels = (f"{ours}.cross.kernel_target", f"{ours}.cross.kernel_support")
        table += [
            Entry(f"{theirs}.cross.cross_conv.weight", cross_kernels, CONV, join=1),
            Entry(f"{theirs}.cross.cross_conv.bias", (f"{ours}.cross.bias",), VECTOR),
            Entry(f"{theirs}.target.vmapped.conv.weight", (f"{ours}.target.kernel",), CONV),
            Entry(f"{theirs}.target.vmapped.conv.bias", (f"{ours}.target.bias",), VECTOR),
            Entry(f"{theirs}.support.vmapped.conv.weight", (f"{ours}.support.kernel",), CONV),
            Entry(f"{theirs}.support.vmapped.conv.bias", (f"{ours}.support.bias",), VECTOR),
        ]
    table += [
        Entry("out_conv.conv.weight", ("head.kernel",), CONV),
        Entry("out_conv.conv.bias", ("head.bias",), VECTOR),
    ]
    return table


def infer_config(state_dict: Tensors, *, cross_activation: Activation | None = None) -> UniverSegConfig:
    """Read the configuration from shapes in a state dict of the official code.

    Args:
        cross_activation: activation of the cross-convolution in training, which no file shows.

    Raises:
        WeightsError: the state dict is not of a UniverSeg.
    """

    def features(name: str) -> int:
        weight = state_dict.get(name)
        if weight is None or np.ndim(weight) != 4 or np.size(weight) == 0:
            raise WeightsError(f"these are not the weights of a UniverSeg: {name} is missing or no convolution")
        return weight.shape[0]

    def stages(name: str) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        while f"{name}.{len(found)}.cross.cross_conv.weight" in state_dict:
            stage = f"{name}.{len(found)}"
            found.append(
                (features(f"{stage}.cross.cross_conv.weight"), features(f"{stage}.target.vmapped.conv.weight"))
            )
        return tuple(found)

    encoder, decoder = stages("enc_blocks"), stages("dec_blocks")
    mirrored = decoder == encoder[-2::-1]
    try:
        return UniverSegConfig(encoder, None if mirrored else decoder, cross_activation)
    except ValueError as error:
        raise WeightsError(f"these are not the weights of a UniverSeg: {error}") from None


ACTIVATIONS: dict[str, Activation] = {
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jax.nn.tanh,
}
"""Activations of a cross-convolution that a folder of weights can name."""


def _read_options(file: Any, state_dict: Tensors, *, cross_activation: str | None = None) -> dict[str, Any]:
    if cross_activation is not None and cross_activation not in ACTIVATIONS:
        raise InputError(f"--cross-activation {cross_activation}: choose one of {', '.join(sorted(ACTIVATIONS))}")
    return {"cross_activation": ACTIVATIONS.get(cross_activation or "")}


def _infer_or_released(state_dict: Tensors, *, cross_activation: Activation | None = None) -> UniverSegConfig:
    """Read the configuration; take the released one if there is none, so that errors list what is missing."""
    try:
        return infer_config(state_dict, cross_activation=cross_activation)
    except WeightsError:
        return UniverSegConfig(cross_activation=cross_activation)


def _activation_name(config: UniverSegConfig) -> str | None:
    activation = config.cross_activation
    name = next((name for name, known in ACTIVATIONS.items() if known is activation), None)
    if activation is not None and name is None:
        known = ", ".join(f"jax.nn.{name}" for name in ACTIVATIONS)
        raise WeightsError(f"cross_activation={activation} cannot be written by name; these can: {known}")
    return name


def _to_json(config: UniverSegConfig) -> dict[str, Any]:
    return {
        "encoder_features": config.encoder_features,
        "decoder_features": config.decoder_features,
        "cross_activation": _activation_name(config),
        "input_size": config.input_size,
    }


def _from_json(values: Mapping[str, Any]) -> UniverSegConfig:
    activation, pairs = values["cross_activation"], tuple[tuple[int, int], ...]
    if activation is not None and activation not in ACTIVATIONS:
        raise ValueError(f"cross_activation is {activation!r}, known are {', '.join(ACTIVATIONS)}")
    config = UniverSegConfig(
        encoder_features=read_field(pairs, "encoder_features", values["encoder_features"]),
        decoder_features=read_field(pairs | None, "decoder_features", values["decoder_features"]),
        cross_activation=None if activation is None else ACTIVATIONS[activation],
        input_size=read_field(int, "input_size", values["input_size"]),
    )
    if not all(features > 0 for stage in (*config.encoder_features, *config.decoder) for features in stage):
        raise ValueError("features of a stage must be 1 or more")
    if config.input_size % 2 ** (len(config.encoder_features) - 1) or config.input_size < 1:
        raise ValueError(f"input_size is {config.input_size}, which {len(config.encoder_features)} stages cannot halve")
    return config


def _describe(model: UniverSeg) -> list[str]:
    config = model.config
    return [
        f"encoder {config.encoder_features}, decoder {config.decoder}",
        f"cross activation {_activation_name(config) or 'none'}",
    ]


UNIVERSEG_NETWORK = Network(
    name="universeg",
    model=UniverSeg,
    config=UniverSegConfig,
    signs={"enc_blocks.0.cross.cross_conv.weight": "of a UniverSeg"},
    table=universeg_table,
    infer_config=_infer_or_released,
    to_json=_to_json,
    from_json=_from_json,
    describe=_describe,
    hidden=frozenset({"cross_activation", "input_size"}),
    explicit=lambda config: replace(config, decoder_features=config.decoder),
    read_options=_read_options,
)


def import_universeg(model: UniverSeg, state_dict: Tensors) -> None:
    """Fill a UniverSeg, in place, with a state dict of the official code: every tensor used, every parameter filled.

    Args:
        model: model with the configuration of the state dict.
        state_dict: names -> arrays of any floating-point type; weights (out,in,kh,kw). They become float32.

    Raises:
        WeightsError: every tensor that does not fit is listed; the model is as before.
    """
    UNIVERSEG_NETWORK.fill(model, state_dict)


def export_universeg(model: UniverSeg) -> dict[str, np.ndarray]:
    """Make the state dict that the official code loads with `strict=True`, in its order."""
    return export_tensors(model, universeg_table(model.config))


def universeg_from(state_dict: Tensors, *, cross_activation: Activation | None = None) -> UniverSeg:
    """Make a UniverSeg of a state dict of the official code; raises as `Network.make`."""
    return UNIVERSEG_NETWORK.make(state_dict, cross_activation=cross_activation)
