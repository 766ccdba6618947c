"""In-context models from weights."""

import os

from universeg_jax.errors import InputError
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.models.protosam.sam import SAM
from universeg_jax.segment.protocol import InContextModel


def load_in_context(weights: str | os.PathLike) -> InContextModel:
    """The model of a name or path, as `universeg_jax.weights.load` takes it; a SAM is used as ProtoSAM.

    Raises:
        InputError: weights that cannot be loaded, or of a network that cannot be shown examples.
    """
    from universeg_jax.weights import load

    network = load(weights)
    model = ProtoSAM(network) if isinstance(network, SAM) else network
    if not isinstance(model, InContextModel):
        raise InputError(
            f"{weights}: these are weights of a {type(network).__name__}, which segments nothing by examples alone; "
            "pass weights of UniverSeg or of a SAM"
        )
    return model
