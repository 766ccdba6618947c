"""Turn PyTorch checkpoints into folders of weights: read them, convert them, and install released ones.

Released weights are fetched once, checked, converted, and kept in the cache folder.
"""

import os
import warnings
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import jax
import numpy as np

from universeg_jax.cache import cache_folder
from universeg_jax.errors import InputError, WeightsError, listing
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.util.files import GitBlobId, locked
from universeg_jax.weights import store
from universeg_jax.weights.catalogue import Release, release_of
from universeg_jax.weights.mapping import blueprint, get_parameters
from universeg_jax.weights.networks import NETWORKS, Model, looks_like, network_of, recognise
from universeg_jax.weights.torch_io.file import load_torch

SIGNS = tuple(sign for network in NETWORKS for sign in network.signs)
"""Names of tensors; each kind of network has one of them."""


def read_checkpoint(path: str | os.PathLike, *, key: str | None = None) -> dict[str, np.ndarray]:
    """Read a state dict, and remove a common prefix such as "module." or "model." from its names.

    Args:
        path: a file that `load_torch` reads.
        key: name of the dictionary of tensors to take, or prefix of the names, where a file holds several networks.

    Raises:
        WeightsError: a file that `load_torch` refuses, or several networks without a key.

    Warns:
        UserWarning: a prefix that was removed, and tensors that are not part of the network.
    """
    try:
        return without_prefix(load_torch(path, key=key), str(path))
    except WeightsError as error:
        if key is None:
            raise
        state_dict = load_torch(path)
        prefix = f"{key.removesuffix('.')}."
        chosen = {name: tensor for name, tensor in state_dict.items() if name.startswith(prefix)}
        if not chosen:
            raise error from None
        return without_prefix(chosen, str(path))


def without_prefix(state_dict: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Remove a common prefix from the names of a known network; other state dicts stay as they are.

    Args:
        name: name of the file, for messages.
    """
    if any(sign in state_dict for sign in SIGNS):
        return dict(state_dict)
    prefixes = {tensor[: -len(sign)] for sign in SIGNS for tensor in state_dict if tensor.endswith(f".{sign}")}
    # "image_encoder." of a SAM also ends in signs of other networks: the shortest prefix holds the whole network.
    prefixes = {one for one in prefixes if not any(one != other and one.startswith(other) for other in prefixes)}
    if len(prefixes) > 1:
        keys = listing(sorted(prefix.removesuffix(".") for prefix in prefixes))
        raise WeightsError(f"{name}: holds several networks: pass key= (or --key) one of {keys}")
    if not prefixes:
        return dict(state_dict)
    [prefix] = prefixes
    found = {tensor.removeprefix(prefix): value for tensor, value in state_dict.items() if tensor.startswith(prefix)}
    rest = [tensor for tensor in state_dict if not tensor.startswith(prefix)]
    ignored = f"; not part of the network, ignored: {listing(rest)}" if rest else ""
    warnings.warn(f"{name}: the prefix {prefix!r} of its tensors is removed{ignored}", stacklevel=3)
    return found


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


def load_release(release: Release) -> Model:
    """Load the model of a release; download and convert it if it is not in the cache folder.

    The folder holds `release.file_name`, downloaded or put there by hand, and the converted `release.name`.

    Raises:
        WeightsError: it cannot be downloaded (the message says how to do it by hand), does not fit this network, or
            the cache folder cannot be used or is damaged.

    Warns:
        UserWarning: the file differs from the released one.
    """
    folder = cache_folder() / release.name
    if not folder.exists():
        _install(release, folder)
    try:
        model = store.load(folder)
    except WeightsError as error:
        raise WeightsError(f"{error}\nDelete {folder} to have it made again") from None
    found = store.read_description(folder)["provenance"].get("digest")
    if found != str(release.digest):
        warnings.warn(
            f"{release.name} was converted from a file with {found}; expected {release.digest}. "
            "It fits the network, but it is not the file known as the authors'",
            stacklevel=3,
        )
    return model


def _install(release: Release, folder: Path) -> None:
    """Download a release, unless its file was put in the cache folder by hand, and convert it."""
    file = folder.parent / release.file_name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent, wait=True):
            if folder.exists():  # another process made it while this one waited
                return
            if not file.exists():
                _download(release, file)
            _convert_release(release, file, folder)
    except OSError as error:
        raise WeightsError(
            f"{folder.parent}: cannot be used as cache folder: {error.strerror}; set UNIVERSEG_JAX_CACHE to another"
        ) from error


def _download(release: Release, file: Path) -> None:
    try:
        release.source.fetch(file, most=(release.megabytes + 1) * 10**6)
    except WeightsError as error:
        raise WeightsError(
            f"{release.name} cannot be downloaded: {error}\nTo do it by hand, {release.source.by_hand(file)}"
        ) from error
    found = release.digest.of(file)
    if found != release.digest:
        rejected = file.replace(file.with_name(f"{file.name}.rejected"))
        raise WeightsError(
            f"{release.source} is not {release.name}: it has {found}; expected {release.digest}\n"
            f"The file is kept as {rejected}. If you trust it, rename it to {file}"
        )


def _convert_release(release: Release, file: Path, folder: Path) -> None:
    network = network_of(release.config)
    model = blueprint(network.model, release.config)
    try:
        tensors = load_torch(file)
        if recognise(tensors) not in (None, network):
            raise WeightsError(f"it is not of a {network.model.__name__}. {looks_like(tensors)}")
        known = release_of(file)
        if known not in (release, None):  # MedSAM's file would fit SAM's network
            raise WeightsError(f"it is the released file of {known.name}")
        network.fill(model, tensors)
    except WeightsError as error:
        raise WeightsError(
            f"{file} is not {release.name}: {error}\nRemove {file} to have it downloaded from {release.source}"
        ) from None
    provenance = {"source": str(release.source), "licence": release.licence, "digest": str(release.digest.of(file))}
    store.save(model, folder, provenance=provenance)
