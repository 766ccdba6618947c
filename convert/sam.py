"""`python -m convert sam`: the released weights of SAM, MedSAM, MobileSAM and LiteMedSAM."""

import argparse
from collections.abc import Mapping

import numpy as np

from convert.conversion import add_arguments, convert, parameter_difference
from universeg_jax.models.protosam.sam import SAM
from universeg_jax.models.protosam.tiny_vit import TinyViTConfig
from universeg_jax.weights.sam import sam_from, sam_unused
from universeg_jax.weights.sam_intensities import is_medsam


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "sam",
        help="sam_vit_{b,l,h}, medsam_vit_b, mobile_sam or lite_medsam",
        description="Convert a file of SAM (ViT-B, -L, -H), MedSAM, MobileSAM or LiteMedSAM: the file tells which. "
        "Only of a ViT-B that is not one of the released files it must be said whether it is MedSAM's.",
    )
    add_arguments(parser)
    parser.add_argument(
        "--medsam",
        action=argparse.BooleanOptionalAction,
        help="whether a ViT-B takes images in [0,1] as they are, as MedSAM does; SAM subtracts a mean",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Convert, and say what was done.

    Raises:
        WeightsError: for an unusable file or folder; nothing is written then.
    """

    def make(state_dict: Mapping[str, np.ndarray]) -> SAM:
        return sam_from(state_dict, medsam=is_medsam(arguments.file, state_dict, medsam=arguments.medsam))

    convert(
        arguments,
        "sam",
        make,
        describe=describe,
        compare=parameter_difference,
        unused=lambda model: sam_unused(model.config),
    )


def describe(model: SAM) -> list[str]:
    config, encoder = model.config, model.config.encoder
    plain = set(config.mean) == {0.0} and set(config.deviation) == {1.0}
    if isinstance(encoder, TinyViTConfig):
        kind = f"TinyViT of {encoder.features} features, {encoder.depths} blocks"
    else:
        kind = f"ViT of {encoder.features} features, {encoder.depth} blocks"
    return [
        f"SAM with a {kind}, for images of {config.input_size} pixels",
        "intensities in [0,1] as they are" if plain else "SAM's mean and deviation of colours",
    ]
