"""The kinds of networks that weights can be for: model, configuration, table of names, and how a file is recognised."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, get_type_hints

import jax
import numpy as np
from beartype import BeartypeConf
from beartype.door import is_bearable
from flax import nnx

from universeg_jax.errors import WeightsError
from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
from universeg_jax.models.sam.image_encoder import ImageEncoderConfig
from universeg_jax.models.sam.model import SAM, SAMConfig
from universeg_jax.models.sam.tiny_vit import TinyViTConfig
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights.names.dinov2 import dinov2_from, import_dinov2
from universeg_jax.weights.names.sam import import_sam, is_medsam, sam_from
from universeg_jax.weights.names.universeg import import_universeg, universeg_from

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
class Network:
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


def architecture_of(config: ModelConfig) -> Network:
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
    Network(UniverSeg, UniverSegConfig, _universeg_to_json, _universeg_from_json, import_universeg),
    Network(SAM, SAMConfig, asdict, _sam_from_json, import_sam),
    Network(DINOv2, DINOv2Config, asdict, lambda values: _from_json(DINOv2Config, values), import_dinov2),
)


Tensors = Mapping[str, np.ndarray]

# A name that each kind of file has and no other: what the file is, and the converter for it.
_SIGNS = {
    "enc_blocks.0.cross.cross_conv.weight": ("of a UniverSeg", "universeg"),
    "image_encoder.patch_embed.seq.0.c.weight": ("of a SAM with a TinyViT, as MobileSAM and LiteMedSAM are", "sam"),
    "image_encoder.patch_embed.proj.weight": ("of a SAM", "sam"),
    "blocks.0.ls1.gamma": ("of a DINOv2", "dinov2"),
}
# The same networks under other names, which no converter here reads.
_ELSEWHERE = {
    "vision_encoder.patch_embed.projection.weight": "of a SAM in the names of Hugging Face",
    "embeddings.patch_embeddings.projection.weight": "of a DINOv2 in the names of Hugging Face",
    "image_encoder.trunk.pos_embed": "of a SAM 2",
}


def converter_for(state_dict: Tensors) -> str | None:
    """The converter that reads a state dict, "universeg", "sam" or "dinov2"; None if there is none."""
    return next((converter for name, (_, converter) in _SIGNS.items() if name in state_dict), None)


def looks_like(state_dict: Tensors) -> str:
    """What a state dict seems to be, as a sentence that can follow an error; empty if nothing is known of it."""
    for name, (what, converter) in _SIGNS.items():
        if name in state_dict:
            return f"These are the weights {what}: python -m convert {converter}"
    for name, what in _ELSEWHERE.items():
        if name in state_dict:
            return f"These seem to be the weights {what}: take the file that the authors released"
    return ""


def model_from(state_dict: Tensors, file: str | os.PathLike) -> Model:
    """The model that the state dict of a file is for; a UniverSeg where nothing tells.

    Raises:
        WeightsError: listing what does not fit, or saying that the file is one of another kind, or of a SAM and not
            for which images (`is_medsam`).
    """
    converter = converter_for(state_dict)
    if converter is None and looks_like(state_dict):
        raise WeightsError(looks_like(state_dict))
    if converter == "sam":
        return sam_from(state_dict, medsam=is_medsam(file, state_dict))
    return dinov2_from(state_dict) if converter == "dinov2" else universeg_from(state_dict)
