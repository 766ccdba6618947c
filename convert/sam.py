"""`python -m convert sam`: the released weights of SAM, MedSAM, MobileSAM and LiteMedSAM."""

import argparse
from functools import partial

from convert.conversion import add_arguments, convert, parameter_difference
from universeg_jax.models.protosam.sam import SAM
from universeg_jax.models.protosam.tiny_vit import TinyViTConfig
from universeg_jax.weights.sam import sam_from, sam_unused


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "sam",
        help="sam_vit_{b,l,h}, medsam_vit_b, mobile_sam or lite_medsam",
        description="Convert a released file of SAM (ViT-B, -L, -H), MedSAM, MobileSAM or LiteMedSAM: the file tells "
        "which, but for --medsam.",
    )
    add_arguments(parser)
    parser.add_argument(
        "--medsam",
        action="store_true",
        help="a ViT-B that takes images in [0,1] as they are, as MedSAM does; SAM subtracts a mean, and no file shows "
        "which it is",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Convert, and say what was done.

    Raises:
        WeightsError: for an unusable file or folder; nothing is written then.
    """
    make = partial(sam_from, medsam=arguments.medsam)
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
        "intensities in [0,1] as they are" if plain else "SAM's mean and deviation of colours (--medsam: none)",
    ]
