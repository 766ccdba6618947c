"""Install released weights: fetch them once, check them, convert them and keep them in the cache folder."""

import warnings
from pathlib import Path

from universeg_jax.cache import cache_folder
from universeg_jax.errors import WeightsError
from universeg_jax.util.files import locked
from universeg_jax.weights import store
from universeg_jax.weights.catalogue import Release, release_of
from universeg_jax.weights.mapping import blueprint
from universeg_jax.weights.networks import Model, looks_like, network_of, recognise
from universeg_jax.weights.torch_io.file import load_torch


def load_release(release: Release) -> Model:
    """Load the model of a release; download and convert it if it is not in the cache folder.

    The folder holds `release.file_name`, as downloaded or put there by hand, and `release.name`, converted.

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
            if folder.exists():  # made by another process while this one waited
                return
            if not file.exists():
                _download(release, file)
            _convert(release, file, folder)
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


def _convert(release: Release, file: Path, folder: Path) -> None:
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
