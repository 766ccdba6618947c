"""Weights that the authors of the official code released: fetched once, checked, converted, kept."""

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from universeg_jax.cache import cache_folder
from universeg_jax.errors import WeightsError
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights import store
from universeg_jax.weights.download import alone_in, download
from universeg_jax.weights.parameters import blueprint
from universeg_jax.weights.torch_file import load_torch
from universeg_jax.weights.universeg import import_universeg


@dataclass(frozen=True)
class Release:
    """A weight file of the official code that its authors published.

    Attributes:
        name: what it is called here.
        url: where it is.
        git_blob_sha1: the id git gives its content, sha1("blob <size>\\0" + content).
        licence: whose terms apply to it.
        about: what it is, in a sentence.
        config: the network it is for.
    """

    name: str
    url: str
    git_blob_sha1: str
    licence: str
    about: str
    config: UniverSegConfig

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


RELEASES = (
    Release(
        name="universeg-v1",
        url="https://github.com/JJGO/UniverSeg/releases/download/weights/universeg_v1_nf64_ss64_STA.pt",
        git_blob_sha1="eedd25b13679d2f06ec4f9b59bcf02fc9205e06b",  # as two forks of the repository record it
        licence="OpenRAIL++-M, research use only",
        about="The authors' weights (Butoi et al., ICCV 2023), trained on MegaMedical at 128x128.",
        config=UniverSegConfig.v1(),
    ),
)


def load_release(release: Release) -> UniverSeg:
    """The model of a release, which is downloaded and converted if it is not in the cache folder.

    The folder holds `release.file_name`, as downloaded or put there by hand, and `release.name`, converted.

    Raises:
        WeightsError: it cannot be downloaded (then saying how to do it by hand), is not of this network, or the cache
            folder cannot be used or is damaged.

    Warns:
        UserWarning: where the file has another git blob id than expected.
    """
    folder = cache_folder() / release.name
    if not folder.exists():
        _install(release, folder)
    try:
        model = store.load(folder)
    except WeightsError as error:
        raise WeightsError(f"{error}\nDelete {folder} to have it made again") from None
    found = store.read_description(folder)["provenance"].get("git_blob_sha1")
    if found != release.git_blob_sha1:
        warnings.warn(
            f"{release.name} was converted from a file with git blob id {found}; expected {release.git_blob_sha1}. "
            "It fits the network, but it is not the file known as the authors'",
            stacklevel=3,
        )
    return model


def _install(release: Release, folder: Path) -> None:
    """Download a release, unless its file was put in the cache folder by hand, and convert it."""
    file = folder.parent / release.file_name
    try:
        with alone_in(folder.parent):
            if folder.exists():  # made by another process while this one waited
                return
            downloaded = not file.exists()
            if downloaded:
                _download(release, file)
            _convert(release, file, folder, downloaded=downloaded)
    except OSError as error:
        raise WeightsError(
            f"{folder.parent}: cannot be used as cache folder: {error.strerror}; set UNIVERSEG_JAX_CACHE to another"
        ) from error


def _download(release: Release, file: Path) -> None:
    try:
        download(release.url, file)
    except WeightsError as error:
        raise WeightsError(
            f"{release.name} cannot be downloaded: {error}\n"
            f"To do it by hand, fetch {release.url}\nand save it as {file}"
        ) from error


def _convert(release: Release, file: Path, folder: Path, *, downloaded: bool) -> None:
    model = blueprint(UniverSeg, release.config)
    try:
        import_universeg(model, load_torch(file))
    except WeightsError as error:
        if not downloaded:
            raise WeightsError(f"{error}\nRemove {file} to have it downloaded from {release.url}") from None
        rejected = file.replace(file.with_name(f"{file.name}.rejected"))
        raise WeightsError(f"{release.url} is not {release.name}: {error}\nThe file is kept as {rejected}") from None
    provenance = {"source": release.url, "licence": release.licence, "git_blob_sha1": git_blob_sha1(file)}
    store.save(model, folder, provenance=provenance)


def git_blob_sha1(path: str | os.PathLike) -> str:
    """The id git gives the content of a file."""
    content = Path(path).read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
