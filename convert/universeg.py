"""`python -m convert universeg`: weights of the official UniverSeg code, of any configuration."""

import argparse
from pathlib import Path

import jax
import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.weights import store
from universeg_jax.weights.architectures import ACTIVATIONS
from universeg_jax.weights.digest import GitBlobId
from universeg_jax.weights.parameters import get_parameters
from universeg_jax.weights.torch_file import load_torch
from universeg_jax.weights.universeg import universeg_from


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "universeg",
        help="a .pt file of the official UniverSeg code",
        description="Convert a .pt file of the official UniverSeg code, whatever the features of its stages; read the "
        "result again, and compare the outputs of both on a fixed input.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a state dict, or a checkpoint with one in it")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder of weights that is there")
    parser.add_argument(
        "--cross-activation",
        choices=sorted(ACTIVATIONS),
        metavar="NAME",
        help="the activation after the cross-convolution, which a file does not show: none in the released network, "
        f"or {', '.join(sorted(ACTIVATIONS))}",
    )
    parser.add_argument("--source", metavar="TEXT", help="recorded with the weights: where FILE is from")
    parser.add_argument("--licence", metavar="TEXT", help="recorded with the weights")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Convert, and say what was done.

    Raises:
        WeightsError: for an unusable file or folder; nothing is written then.
    """
    provenance = {"source": arguments.source, "licence": arguments.licence, "file": arguments.file.name}
    with store.new_folder(arguments.out, overwrite=arguments.overwrite) as new:
        tensors = load_torch(arguments.file)
        provenance["git_blob_sha1"] = GitBlobId.of(arguments.file).value
        try:
            model = universeg_from(tensors, cross_activation=ACTIVATIONS.get(arguments.cross_activation))
        except WeightsError as error:
            raise WeightsError(f"{arguments.file}: {error}") from None
        store.save(model, new, provenance=provenance)
        outputs, again = example_outputs(model), example_outputs(store.load(new))
        if not np.array_equal(outputs, again, equal_nan=True):
            raise WeightsError(f"{arguments.out}: what was written computes something else; check the disk")
    count = sum(value.size for value in get_parameters(model).values())
    print(f"read      {arguments.file}, git blob id {provenance['git_blob_sha1']}")
    print(f"tensors   {len(tensors)} with {count:,} parameters, all used")
    print(f"network   encoder {model.config.encoder_features}, decoder {model.config.decoder}")
    print(f"          cross activation {arguments.cross_activation or 'none'}")
    print(f"wrote     {arguments.out}, {_size(arguments.out) / 1e6:.2f} MB")
    difference = np.abs(outputs - again).max()
    print(f"compared  before and after, {outputs.size} logits on a fixed input: max difference {difference}")


def example_outputs(model: UniverSeg) -> np.ndarray:
    """Logits on a fixed input: one random target and three support entries, of 4x4 pixels in the deepest stage."""
    side = 4 * 2 ** (len(model.config.encoder_features) - 1)
    target, images, labels = np.split(np.random.default_rng(0).random((7, side, side, 1), np.float32), [1, 4])
    return np.asarray(jax.jit(lambda model, *inputs: model(*inputs))(model, target, images[None], labels[None] > 0.5))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
