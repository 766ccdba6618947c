"""The kinds of models that weights can be for: how each is written in a folder and filled from a released file."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, get_type_hints

import jax
import numpy as np
from beartype import BeartypeConf
from beartype.door import is_bearable
from flax import nnx

from universeg_jax.errors import WeightsError
from universeg_jax.models.protosam.dinov2 import DINOv2, DINOv2Config
from universeg_jax.models.protosam.sam import SAM, SAMConfig
from universeg_jax.models.protosam.sam_encoder import ImageEncoderConfig
from universeg_jax.models.protosam.tiny_vit import TinyViTConfig
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights.dinov2 import import_dinov2
from universeg_jax.weights.sam import import_sam
from universeg_jax.weights.universeg import import_universeg

Config = TypeVar("Config")
Model = UniverSeg | SAM | DINOv2
ModelConfig = UniverSegConfig | SAMConfig | DINOv2Config

ACTIVATIONS = {
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "leaky_relu": jax.nn.leaky_relu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jax.nn.tanh,
}
"""The activations of a cross-convolution that a folder can name."""


@dataclass(frozen=True)
class Architecture:
    """A kind of model.

    Attributes:
        model: its class, made with a configuration.
        config: the class of its configuration.
        to_json: a configuration as JSON can hold it; raises a WeightsError where it cannot.
        from_json: the inverse; raises a KeyError, TypeError or ValueError for what makes no sense.
        import_tensors: fills a model, in place, with a state dict of the released files.
    """

    model: type[nnx.Module]
    config: type
    to_json: Callable[[Any], dict[str, Any]]
    from_json: Callable[[Mapping[str, Any]], Any]
    import_tensors: Callable[[Any, Mapping[str, np.ndarray]], None]

    @property
    def name(self) -> str:
        return self.model.__name__


def architecture_of(config: ModelConfig) -> Architecture:
    """The kind of model that a configuration is for."""
    return next(kind for kind in ARCHITECTURES if kind.config is type(config))


def _universeg_to_json(config: UniverSegConfig) -> dict[str, Any]:
    activation = config.cross_activation
    name = next((name for name, known in ACTIVATIONS.items() if known is activation), None)
    if activation is not None and name is None:
        known = ", ".join(f"jax.nn.{name}" for name in ACTIVATIONS)
        raise WeightsError(f"cross_activation={activation} cannot be written by name; these can: {known}")
    return {
        "encoder_features": config.encoder_features,
        "decoder_features": config.decoder_features,
        "cross_activation": name,
        "input_size": config.input_size,
    }


def _universeg_from_json(values: Mapping[str, Any]) -> UniverSegConfig:
    def stages(features: Any) -> tuple[tuple[int, int], ...]:
        pairs = tuple(tuple(map(int, pair)) for pair in features)
        if not all(len(pair) == 2 and min(pair) > 0 for pair in pairs):
            raise ValueError(f"{features} are not pairs of positive numbers")
        return pairs

    activation, decoder = values["cross_activation"], values["decoder_features"]
    if activation is not None and activation not in ACTIVATIONS:
        raise ValueError(f"cross_activation is {activation!r}, known are {', '.join(ACTIVATIONS)}")
    return UniverSegConfig(
        encoder_features=stages(values["encoder_features"]),
        decoder_features=None if decoder is None else stages(decoder),
        cross_activation=None if activation is None else ACTIVATIONS[activation],
        input_size=int(values["input_size"]),
    )


def _sam_from_json(values: Mapping[str, Any]) -> SAMConfig:
    encoder = values["encoder"]
    kind = TinyViTConfig if "stem_stride" in encoder else ImageEncoderConfig
    return _from_json(SAMConfig, {**values, "encoder": _from_json(kind, encoder)})


def _from_json(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A dataclass of numbers and tuples of numbers, every field given."""
    hints, names = get_type_hints(kind), {field.name for field in fields(kind)}
    if values.keys() != names:
        raise ValueError(f"{kind.__name__} has {sorted(names)}, not {sorted(values)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, value in values.items():
        if not is_bearable(value, hints[name], conf=BeartypeConf(is_pep484_tower=True)):
            raise ValueError(f"{name} is {value!r}")
    return kind(**values)


ARCHITECTURES = (
    Architecture(UniverSeg, UniverSegConfig, _universeg_to_json, _universeg_from_json, import_universeg),
    Architecture(SAM, SAMConfig, asdict, _sam_from_json, import_sam),
    Architecture(DINOv2, DINOv2Config, asdict, lambda values: _from_json(DINOv2Config, values), import_dinov2),
)
