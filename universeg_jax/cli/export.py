"""`universeg-jax export`: write a network for use without this library."""

import argparse
from pathlib import Path

from universeg_jax.cli.shared import add_command, add_out, add_overwrite, add_quiet, add_weights

DESCRIPTION = """\
Write a trained network as a file that runs without this library, on any number of images and examples.

  OUT/universeg.jax    runs with JAX alone, on CPUs, NVIDIA GPUs and TPUs
  OUT/universeg.onnx   runs with onnxruntime
  OUT/README.md        describes inputs and outputs, and shows a call
  OUT/export.json      records weights, licence, shapes, versions, checksums
  OUT/MODEL_CARD.md    model card of the weights, if they have a name

The JAX file needs `pip install flatbuffers`. The ONNX file needs `pip install jax2onnx onnxruntime`, which also
installs equinox, netron and older versions of some packages: use an environment of its own.
"""


def add_parser(subparsers) -> None:
    parser = add_command(
        subparsers, "export", help="write a network for use without this library", description=DESCRIPTION
    )
    add_weights(parser)
    add_out(parser)
    parser.add_argument("--format", choices=("jax", "onnx", "both"), default="jax", help="(default: %(default)s)")
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="side of the images (default: side that the network was trained on)"
    )
    add_overwrite(parser)
    add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run `export`.

    Raises:
        InputError: unusable arguments, or a missing package; nothing is written then.
    """
    # Imported here so that --help need not wait for JAX.
    from universeg_jax.deploy.artifact import JAX, ONNX, check_installed, output_files, write_export
    from universeg_jax.errors import InputError
    from universeg_jax.util.outputs import check_apart, check_outputs, complete_or_nothing

    formats = {"jax": (JAX,), "onnx": (ONNX,), "both": (JAX, ONNX)}[arguments.format]
    files = output_files(arguments.weights, formats)
    check_apart(arguments.out, [Path(arguments.weights)], files)
    check_outputs(arguments.out, files, overwrite=arguments.overwrite)
    for other in (JAX, ONNX):
        if other not in formats and (arguments.out / other.file).exists():
            raise InputError(f"{arguments.out}: holds {other.file}; pass --format both, or another --out")
    check_installed(formats)
    model = _load(arguments.weights)
    size = model.input_size if arguments.size is None else arguments.size
    with complete_or_nothing(arguments.out, new=() if arguments.overwrite else files) as folder:
        write_export(folder, model, arguments.weights, formats, size=size)
    if not arguments.quiet:
        written = " and ".join(kind.file for kind in formats)
        print(f"{written}, for {size}x{size} images, in {arguments.out}; see {arguments.out / 'README.md'}")


def _load(weights: str):
    """Load the UniverSeg of these weights.

    Raises:
        InputError: weights of another network, which cannot be exported.
    """
    from universeg_jax.errors import InputError
    from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
    from universeg_jax.weights import shipped
    from universeg_jax.weights.catalogue import RELEASES
    from universeg_jax.weights.loading import load

    known = [release.name for release in RELEASES if isinstance(release.config, UniverSegConfig)]
    foreign = any(release.name == weights for release in RELEASES) and weights not in known
    model = None if foreign else load(weights)
    if not isinstance(model, UniverSeg):
        raise InputError(
            f"--weights {weights} cannot be exported, because only UniverSeg networks can: "
            f"pass {', '.join([*shipped.NAMES, *known])}, or a folder of such weights"
        )
    return model
