"""`universeg-jax convert`: convert a released PyTorch checkpoint into a folder of weights."""

import argparse
from pathlib import Path


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "convert",
        help="convert a PyTorch checkpoint into a folder of weights",
        description="Convert a released PyTorch checkpoint into a folder of weights. Nothing in it is executed.",
    )
    networks = parser.add_subparsers(title="networks", required=True, metavar="NETWORK")
    _add_universeg(networks)
    _add_sam(networks)
    _add_dinov2(networks)


def _add_universeg(networks) -> None:
    parser = networks.add_parser(
        "universeg",
        help="a .pt file of the official UniverSeg code",
        description="Convert a .pt file of the official UniverSeg code, whatever the features of its stages. The "
        "result is read again, and the outputs of both are compared on a fixed input.",
    )
    _add_arguments(parser)
    parser.add_argument(
        "--cross-activation",
        metavar="NAME",
        help="activation after the cross-convolution, which a file does not show: elu, gelu, leaky_relu, relu, silu "
        "or tanh (default: none, as in the released network)",
    )
    parser.set_defaults(run=_run_universeg)


def _add_sam(networks) -> None:
    parser = networks.add_parser(
        "sam",
        help="sam_vit_{b,l,h}, medsam_vit_b, mobile_sam or lite_medsam",
        description="Convert a file of SAM (ViT-B, -L, -H), MedSAM, MobileSAM or LiteMedSAM. The file shows which one "
        "it is, except a ViT-B that is none of the released files: say whether it is MedSAM's.",
    )
    _add_arguments(parser)
    parser.add_argument(
        "--medsam",
        action=argparse.BooleanOptionalAction,
        help="whether a ViT-B takes images in [0,1] as they are, as MedSAM does; SAM subtracts a mean",
    )
    parser.set_defaults(run=_run_sam)


def _add_dinov2(networks) -> None:
    parser = networks.add_parser(
        "dinov2",
        help="dinov2_vit{s,b,l,g}14[_reg4]_pretrain.pth of DINOv2",
        description="Convert a released file of DINOv2, of any size, with or without registers. The file shows which.",
    )
    _add_arguments(parser)
    parser.set_defaults(run=_run_dinov2)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a state dict, or a checkpoint that contains one")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder of weights")
    parser.add_argument("--source", metavar="TEXT", help="origin of FILE, recorded with the weights")
    parser.add_argument("--licence", metavar="TEXT", help="licence, recorded with the weights")


def _run_universeg(arguments: argparse.Namespace) -> None:
    from universeg_jax.weights.conversion import convert_universeg

    convert_universeg(arguments.file, arguments.out, cross_activation=arguments.cross_activation, **_common(arguments))


def _run_sam(arguments: argparse.Namespace) -> None:
    from universeg_jax.weights.conversion import convert_sam

    convert_sam(arguments.file, arguments.out, medsam=arguments.medsam, **_common(arguments))


def _run_dinov2(arguments: argparse.Namespace) -> None:
    from universeg_jax.weights.conversion import convert_dinov2

    convert_dinov2(arguments.file, arguments.out, **_common(arguments))


def _common(arguments: argparse.Namespace) -> dict:
    return {name: getattr(arguments, name) for name in ("overwrite", "source", "licence")}
