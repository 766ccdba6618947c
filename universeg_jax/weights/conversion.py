"""Convert a checkpoint into a folder of weights: read, fit, write, read again, compare, print a report."""

from inspect import signature
from pathlib import Path
from typing import Any

import jax
import numpy as np

from universeg_jax.errors import InputError, WeightsError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.util.files import GitBlobId
from universeg_jax.weights import store
from universeg_jax.weights.checkpoint import read_checkpoint
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.networks import NETWORKS, Model, looks_like, recognise


def convert(
    name: str,
    file: Path,
    out: Path,
    *,
    key: str | None = None,
    overwrite: bool = False,
    source: str | None = None,
    licence: str | None = None,
    **options: Any,
) -> None:
    """Convert one file, and print a report.

    Args:
        name: name of the network: "universeg", "sam" or "dinov2".
        file: checkpoint.
        out: folder to write.
        key: the dictionary of tensors, or the prefix of names, to take from a file with several networks.
        overwrite: whether an existing folder of weights may be replaced.
        source: origin of the file, recorded with the weights.
        licence: licence, recorded with the weights.
        options: options of the network that no file shows, as `Network.read_options` takes them; None without one.

    Raises:
        InputError: unknown network, or an option that it does not have.
        WeightsError: unusable file or folder; nothing is written then.
    """
    network = next((known for known in NETWORKS if known.name == name), None)
    if network is None:
        raise InputError(f"{name}: no such network; choose {' or '.join(known.name for known in NETWORKS)}")
    given = {option: value for option, value in options.items() if value is not None}
    unknown = given.keys() - signature(network.read_options).parameters.keys()
    if unknown:
        raise InputError(f"--{min(unknown).replace('_', '-')}: {name} has no such option; leave it out")
    provenance = {"source": source, "licence": licence, "file": file.name}
    with store.new_folder(out, overwrite=overwrite) as new:
        tensors = read_checkpoint(file, key=key)
        provenance["git_blob_sha1"] = GitBlobId.of(file).value
        try:
            model = network.make_from(file, tensors, **given)
        except WeightsError as error:
            hint = "" if recognise(tensors) is network else looks_like(tensors)
            raise WeightsError("\n".join(filter(None, (f"{file}: {error}", hint)))) from None
        store.save(model, new, provenance=provenance)
        compared, difference = _difference(model, store.load(new))
        if difference != 0:
            raise WeightsError(f"{out}: the written weights compute something else; check the disk")
    parameters = get_parameters(model)
    left = sorted(tensors.keys() & set(network.unused(model.config)))
    use = f"all used but {len(left)} that the network does not need, as {left[0]}" if left else "all used"
    print(f"read      {file}, git blob id {provenance['git_blob_sha1']}")
    print(f"tensors   {len(tensors)} for {sum(value.size for value in parameters.values()):,} parameters, {use}")
    for title, line in zip(["network", *[""] * 9], network.describe(model), strict=False):
        print(f"{title:9} {line}")
    print(f"wrote     {out}, {_size(out) / 1e6:.2f} MB")
    print(f"compared  before and after, {compared}: max difference {difference}")


def _difference(model: Model, again: Model) -> tuple[str, float]:
    """Compare a model with its copy that was read again. Return the kind of comparison and the largest difference."""
    return _output_difference(model, again) if isinstance(model, UniverSeg) else _parameter_difference(model, again)


def _parameter_difference(model: Model, again: Model) -> tuple[str, float]:
    """Return the largest difference between the parameters of two models, where neither has NaN."""
    others = get_parameters(again)
    pairs = [(np.asarray(value), np.asarray(others[name])) for name, value in get_parameters(model).items()]
    return f"{len(pairs)} parameters", float(max(np.abs(value - other).max() for value, other in pairs))


def _output_difference(model: UniverSeg, again: UniverSeg) -> tuple[str, float]:
    """Return the largest difference between the logits of two models; NaN in both is none."""
    outputs, others = example_outputs(model), example_outputs(again)
    equal = np.array_equal(outputs, others, equal_nan=True)
    return f"{outputs.size} logits on a fixed input", 0.0 if equal else float(np.abs(outputs - others).max())


def example_outputs(model: UniverSeg) -> np.ndarray:
    """Compute logits on a fixed input: a random target and three support entries, 4x4 pixels in the deepest stage."""
    side = 4 * 2 ** (len(model.config.encoder_features) - 1)
    target, images, labels = np.split(np.random.default_rng(0).random((7, side, side, 1), np.float32), [1, 4])
    return np.asarray(jax.jit(lambda model, *inputs: model(*inputs))(model, target, images[None], labels[None] > 0.5))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
