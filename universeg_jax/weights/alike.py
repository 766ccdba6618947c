"""Which of the released networks a state dict is of, by what it shows, and which released file a file is."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.models.protosam.dinov2 import DINOv2Config
from universeg_jax.models.protosam.sam import SAMConfig
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.weights.released import RELEASES, Release

Config = UniverSegConfig | SAMConfig | DINOv2Config

HIDDEN = {
    UniverSegConfig: {"cross_activation", "input_size"},
    SAMConfig: {"mean", "deviation", "decoder_heads", "decoder_epsilon"},
    DINOv2Config: {"heads"},
}
"""What the names and shapes of a state dict do not show of a configuration."""


def releases_like(config: Config) -> list[Release]:
    """The releases whose state dicts have the names and shapes of a configuration: one, several or none."""
    return [release for release in RELEASES if _shown(release.config) == _shown(config)]


def another_network(
    config: Config, state_dict: Mapping[str, np.ndarray], infer_config: Callable[[Mapping[str, np.ndarray]], Config]
) -> str:
    """What a state dict looks like instead, to follow "do not fit the model"; empty where that is not known.

    Args:
        config: what it does not fit.
        infer_config: the configuration that a state dict of this kind of network implies.
    """
    try:
        found = infer_config(state_dict)
    except WeightsError:
        return ""
    if _shown(found) == _shown(config):
        return ""
    names = " or ".join(release.name for release in releases_like(found))
    return f", but look like those of {names or found}"


def release_of(file: str | os.PathLike) -> Release | None:
    """The release that a file is, byte for byte."""
    digests = {kind.of(file) for kind in {type(release.digest) for release in RELEASES}}
    return next((release for release in RELEASES if release.digest in digests), None)


def _shown(config: Config) -> dict[str, Any]:
    shown = {name: value for name, value in vars(config).items() if name not in HIDDEN[type(config)]}
    if isinstance(config, UniverSegConfig):
        shown["decoder_features"] = config.decoder  # None stands for the mirrored encoder
    return shown
