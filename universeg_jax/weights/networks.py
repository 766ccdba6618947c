"""Table of the networks that weights can belong to. To add one, add a file in names/ and a line here."""

import os
from pathlib import Path
from typing import Any

from universeg_jax.errors import WeightsError
from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.sam.model import SAM
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.weights.names import Network, Tensors
from universeg_jax.weights.names.dinov2 import DINOV2_NETWORK
from universeg_jax.weights.names.sam import SAM_NETWORK
from universeg_jax.weights.names.universeg import UNIVERSEG_NETWORK

NETWORKS: tuple[Network, ...] = (UNIVERSEG_NETWORK, SAM_NETWORK, DINOV2_NETWORK)

Model = UniverSeg | SAM | DINOv2

# The same networks under other names, which no record here reads.
_ELSEWHERE = {
    "vision_encoder.patch_embed.projection.weight": "of a SAM in the names of Hugging Face",
    "embeddings.patch_embeddings.projection.weight": "of a DINOv2 in the names of Hugging Face",
    "image_encoder.trunk.pos_embed": "of a SAM 2",
}


def network_of(config: Any) -> Network:
    """Return the kind of network that a configuration is for."""
    return next(network for network in NETWORKS if network.config is type(config))


def network_named(name: Any) -> Network | None:
    """Return the kind of network whose model class has a name; None if there is none."""
    return next((network for network in NETWORKS if network.model.__name__ == name), None)


def recognise(state_dict: Tensors) -> Network | None:
    """Return the kind of network that a state dict is of; None if there is none."""
    return next((network for network in NETWORKS if network.recognises(state_dict)), None)


def looks_like(state_dict: Tensors) -> str:
    """Describe a state dict in a sentence that can follow an error; empty if nothing is known about it."""
    for network in NETWORKS:
        for sign, description in network.signs.items():
            if sign in state_dict:
                return f"These are the weights {description}: universeg-jax convert {network.name}"
    for sign, description in _ELSEWHERE.items():
        if sign in state_dict:
            return f"These seem to be the weights {description}: take the file that the authors released"
    return ""


def model_from(state_dict: Tensors, file: str | os.PathLike) -> Model:
    """Make the model that the state dict of a file is for; a UniverSeg if nothing shows the kind.

    Raises:
        WeightsError: tensors do not fit (they are listed), or the file is of a kind that cannot be read.
    """
    network = recognise(state_dict)
    if network is None and looks_like(state_dict):
        raise WeightsError(looks_like(state_dict))
    return (network or UNIVERSEG_NETWORK).make_from(Path(file), state_dict)
