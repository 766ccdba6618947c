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

This command needs pip install "universeg-jax[export]".
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
    from universeg_jax.weights.loading import universeg

    formats = {"jax": (JAX,), "onnx": (ONNX,), "both": (JAX, ONNX)}[arguments.format]
    files = output_files(arguments.weights, formats)
    check_apart(arguments.out, [Path(arguments.weights)], files)
    check_outputs(arguments.out, files, overwrite=arguments.overwrite)
    for other in (JAX, ONNX):
        if other not in formats and (arguments.out / other.file).exists():
            raise InputError(f"{arguments.out}: holds {other.file}; pass --format both, or another --out")
    check_installed(formats)
    model = universeg(pretrained=arguments.weights)  # which refuses other networks
    size = model.input_size if arguments.size is None else arguments.size
    with complete_or_nothing(arguments.out, new=() if arguments.overwrite else files) as folder:
        write_export(folder, model, arguments.weights, formats, size=size)
    if not arguments.quiet:
        written = " and ".join(kind.file for kind in formats)
        print(f"{written}, for {size}x{size} images, in {arguments.out}; see {arguments.out / 'README.md'}")
