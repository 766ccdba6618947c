"""Tell from the names in a PyTorch file which network it is for."""

import os
from collections.abc import Mapping

import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.weights.architectures import Model
from universeg_jax.weights.dinov2 import dinov2_from
from universeg_jax.weights.sam import sam_from
from universeg_jax.weights.sam_intensities import is_medsam
from universeg_jax.weights.universeg import universeg_from

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
