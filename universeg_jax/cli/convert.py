"""`universeg-jax convert`: convert a released PyTorch checkpoint into a folder of weights."""

import argparse
from pathlib import Path

from universeg_jax.cli.shared import add_command, add_out, add_overwrite

DESCRIPTION = """\
Convert a released PyTorch checkpoint into a folder of weights. No code in the file is executed. The folder is read
again and compared with the file.

  universeg   a .pt file of the official UniverSeg code, with any stages and features
  sam         sam_vit_{b,l,h}, medsam_vit_b, mobile_sam or lite_medsam
  dinov2      dinov2_vit{s,b,l,g}14[_reg4]_pretrain.pth
"""


def add_parser(subparsers) -> None:
    parser = add_command(
        subparsers, "convert", help="convert a PyTorch checkpoint into a folder of weights", description=DESCRIPTION
    )
    parser.add_argument("network", metavar="NETWORK", help="universeg, sam or dinov2")
    parser.add_argument("file", type=Path, metavar="FILE", help="state dict, or checkpoint that contains one")
    add_out(parser)
    parser.add_argument(
        "--key", metavar="NAME", help="dictionary of tensors, or prefix of names, of one network in FILE"
    )
    add_overwrite(parser, help="replace an existing folder of weights")
    parser.add_argument("--source", metavar="TEXT", help="origin of FILE, recorded with the weights")
    parser.add_argument("--licence", metavar="TEXT", help="licence, recorded with the weights")
    unseen = parser.add_argument_group("properties that no file shows")
    unseen.add_argument(
        "--cross-activation",
        metavar="NAME",
        help="for universeg: activation after the cross-convolution: elu, gelu, leaky_relu, relu, silu or tanh "
        "(default: none, as in the released network)",
    )
    unseen.add_argument(
        "--medsam",
        action=argparse.BooleanOptionalAction,
        help="for sam: whether a ViT-B takes images in [0,1], as MedSAM does; SAM subtracts a mean "
        "(default: recognised for released files)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run `convert`.

    Raises:
        InputError: unusable file or options; nothing is written then.
    """
    # Imported here so that --help need not wait for JAX.
    from universeg_jax.weights.conversion import convert

    convert(
        arguments.network,
        arguments.file,
        arguments.out,
        key=arguments.key,
        overwrite=arguments.overwrite,
        source=arguments.source,
        licence=arguments.licence,
        cross_activation=arguments.cross_activation,
        medsam=arguments.medsam,
    )
