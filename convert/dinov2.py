"""`python -m convert dinov2`: the released weights of DINOv2, of every size, with registers or without."""

import argparse

from convert.conversion import add_arguments, convert, parameter_difference
from universeg_jax.models.protosam.dinov2 import DINOv2
from universeg_jax.weights.dinov2 import UNUSED, dinov2_from


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "dinov2",
        help="dinov2_vit{s,b,l,g}14[_reg4]_pretrain.pth of DINOv2",
        description="Convert a released file of DINOv2, of any size, with registers or without: the file tells which.",
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Convert, and say what was done.

    Raises:
        WeightsError: for an unusable file or folder; nothing is written then.
    """
    convert(
        arguments,
        "dinov2",
        dinov2_from,
        describe=describe,
        compare=parameter_difference,
        unused=lambda model: UNUSED,
    )


def describe(model: DINOv2) -> list[str]:
    config = model.config
    return [
        f"DINOv2, {config.depth} blocks of {config.features} features, {config.registers} registers, "
        f"{'SwiGLU' if config.gated else 'GELU'}",
        f"patches of {config.patch} pixels, positions for {config.grid}x{config.grid}",
    ]
