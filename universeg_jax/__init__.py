"""In-context medical image segmentation in JAX.

import universeg_jax as uj

task = uj.Segmenter().fit(images, labels)
masks = task.predict(new_images)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from universeg_jax import weights
    from universeg_jax.models.protosam.config import ProtoSAMConfig
    from universeg_jax.models.protosam.pipeline import ProtoSAM
    from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
    from universeg_jax.nn.cross_conv import CrossBlock, CrossConv
    from universeg_jax.segment.segmenter import Segmenter
    from universeg_jax.weights.loading import protosam, universeg

__all__ = [
    "CrossBlock",
    "CrossConv",
    "ProtoSAM",
    "ProtoSAMConfig",
    "Segmenter",
    "UniverSeg",
    "UniverSegConfig",
    "protosam",
    "universeg",
    "weights",
]

_HOMES = {
    "CrossBlock": "nn.cross_conv",
    "CrossConv": "nn.cross_conv",
    "ProtoSAM": "models.protosam.pipeline",
    "ProtoSAMConfig": "models.protosam.config",
    "Segmenter": "segment.segmenter",
    "UniverSeg": "models.universeg",
    "UniverSegConfig": "models.universeg",
    "protosam": "weights.loading",
    "universeg": "weights.loading",
}


def __getattr__(name: str):
    """Import a public name when it is first used, so that `universeg-jax --help` need not wait for JAX."""
    if name == "weights":
        return import_module("universeg_jax.weights")
    if name not in _HOMES:
        raise AttributeError(f"module 'universeg_jax' has no attribute {name!r}")
    return getattr(import_module(f"universeg_jax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
