"""What every converter does: read, fit, write, read again, compare, report."""

import argparse
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.weights import store
from universeg_jax.weights.architectures import Model
from universeg_jax.weights.digest import GitBlobId
from universeg_jax.weights.parameters import get_parameters
from universeg_jax.weights.recognise import converter_for, looks_like
from universeg_jax.weights.torch_file import load_torch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that every converter has."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a state dict, or a checkpoint with one in it")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a folder of weights that is there")
    parser.add_argument("--source", metavar="TEXT", help="recorded with the weights: where FILE is from")
    parser.add_argument("--licence", metavar="TEXT", help="recorded with the weights")


def convert(
    arguments: argparse.Namespace,
    converter: str,
    make: Callable[[Mapping[str, np.ndarray]], Model],
    *,
    describe: Callable[[Model], Collection[str]],
    compare: Callable[[Model, Model], tuple[str, float]],
    unused: Callable[[Model], Collection[str]] = lambda model: (),
) -> None:
    """Convert the file of the arguments, and print what was done.

    Args:
        converter: its name, that files of other networks are told from.
        make: a model from a state dict.
        describe: lines about the model.
        compare: what was compared between the model and itself read again, and the largest difference.
        unused: names of tensors that a file may hold and the model has no use for.

    Raises:
        WeightsError: for an unusable file or folder; nothing is written then.
    """
    provenance = {"source": arguments.source, "licence": arguments.licence, "file": arguments.file.name}
    with store.new_folder(arguments.out, overwrite=arguments.overwrite) as new:
        tensors = load_torch(arguments.file)
        provenance["git_blob_sha1"] = GitBlobId.of(arguments.file).value
        try:
            model = make(tensors)
        except WeightsError as error:
            hint = "" if converter_for(tensors) == converter else looks_like(tensors)
            raise WeightsError("\n".join(filter(None, (f"{arguments.file}: {error}", hint)))) from None
        store.save(model, new, provenance=provenance)
        compared, difference = compare(model, store.load(new))
        if difference != 0:
            raise WeightsError(f"{arguments.out}: what was written computes something else; check the disk")
    parameters = get_parameters(model)
    left = sorted(tensors.keys() & set(unused(model)))
    use = f"all used but {len(left)} that the network does not need, as {left[0]}" if left else "all used"
    print(f"read      {arguments.file}, git blob id {provenance['git_blob_sha1']}")
    print(f"tensors   {len(tensors)} for {sum(value.size for value in parameters.values()):,} parameters, {use}")
    for title, line in zip(["network", *[""] * 9], describe(model), strict=False):
        print(f"{title:9} {line}")
    print(f"wrote     {arguments.out}, {_size(arguments.out) / 1e6:.2f} MB")
    print(f"compared  before and after, {compared}: max difference {difference}")


def parameter_difference(model: Model, again: Model) -> tuple[str, float]:
    """The largest difference between the parameters of two models, where neither has NaN."""
    others = get_parameters(again)
    pairs = [(np.asarray(value), np.asarray(others[name])) for name, value in get_parameters(model).items()]
    return f"{len(pairs)} parameters", float(max(np.abs(value - other).max() for value, other in pairs))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
