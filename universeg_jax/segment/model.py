"""The interface of an in-context model, and loading one by name or path."""

import os
from typing import Literal, Protocol, runtime_checkable

from universeg_jax.errors import InputError
from universeg_jax.models.blend import Blend
from universeg_jax.models.sam.model import SAM
from universeg_jax.shapes import Array


class Predictor(Protocol):
    """A function that segments targets by the support set it was made from."""

    def __call__(self, targets: Array, regions: Array | None = None, weights: Array | None = None) -> Array:
        """Compute the logits of targets.

        Args:
            targets: images (B,H,W,C) in [0,1].
            regions: (B,4), the part of each square that its image fills: top, left, bottom and right in pixels,
                bottom and right excluded. None stands for the whole square. A model may ignore it.
            weights: (B,S), how much each support entry counts for each target, at least 0. They multiply the mask
                of the support set, so an entry with weight 0 changes nothing. None counts every entry once.

        Returns:
            Logits (K,B,H,W,1), one map for each class of the support set.
        """
        ...


@runtime_checkable
class InContextModel(Protocol):
    """A model that learns a segmentation task from its support set alone.

    Attributes:
        input_size: side in pixels of the square images it takes.
        input_channels: 1 for grey images, 3 for colour.
        padding: values that fill an image up to a square: zeros, or copies of the image's edges.
    """

    input_size: int
    input_channels: int
    padding: Literal["zeros", "edge"]

    def prepare(self, images: Array, labels: Array, mask: Array) -> Predictor:
        """Take in a support set and return the predictor of its task.

        Args:
            images: support images (S,H,W,C), float32 in [0,1].
            labels: one label map per class (K,S,H,W,1), float32 in [0,1]; K is 1, the foreground, in a
                binary task.
            mask: (K,S), True where an entry counts for a class; entries that do not change nothing. At least
                one counts for each class.

        The shapes come from a small set of sizes, so a model may compile for each. Those who draw several
        support sets hold several predictors at once.
        """
        ...


def load_in_context(weights: str | os.PathLike) -> InContextModel | Blend:
    """The model of a name or path, as `universeg_jax.weights.load` takes it; a SAM is used as ProtoSAM.

    Raises:
        InputError: weights that cannot be loaded, or of a network that cannot be shown examples.
    """
    from universeg_jax.weights import load

    network = load(weights)
    if isinstance(network, Blend):
        return network
    model: object = network
    if isinstance(network, SAM):
        from universeg_jax.models.protosam.pipeline import ProtoSAM

        model = ProtoSAM(network)
    if not isinstance(model, InContextModel):
        raise InputError(
            f"{weights}: these are weights of a {type(network).__name__}, which segments nothing by examples alone; "
            "pass weights of UniverSeg or of a SAM"
        )
    return model
