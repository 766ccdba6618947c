"""A ProtoSAM from weights that have names or are in files."""

import os

from universeg_jax.errors import WeightsError
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.dinov2 import DINOv2
from universeg_jax.models.protosam.features import DINOv2Features
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.models.protosam.sam import SAM
from universeg_jax.weights.named import PROTOSAM, load


def protosam(
    sam: str | os.PathLike = PROTOSAM,
    *,
    features: str | os.PathLike | None = None,
    config: ProtoSAMConfig | None = None,
) -> ProtoSAM:
    """A ProtoSAM of trained networks.

    Args:
        sam: weights of the network that refines, as `load` takes them.
        features: weights of a DINOv2 for the prototypes; None takes features of the SAM's own image encoder.
        config: None is `ProtoSAMConfig()`.

    Raises:
        WeightsError: as `load`, and for weights of another kind of network.
    """
    network = load(sam)
    if not isinstance(network, SAM):
        raise WeightsError(f"{sam} is a {type(network).__name__}; ProtoSAM refines with a SAM, such as {PROTOSAM}")
    config = ProtoSAMConfig() if config is None else config
    extractor = None
    if features is not None:
        dinov2 = load(features)
        if not isinstance(dinov2, DINOv2):
            raise WeightsError(f"{features} is a {type(dinov2).__name__}; features are taken from a DINOv2")
        extractor = DINOv2Features(dinov2, standardise=config.standardise)
    return ProtoSAM(network, features=extractor, config=config)
