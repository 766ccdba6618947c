"""Released weights, from a local server."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import universeg_jax as uj
from tests.helpers.file_server import serve
from tests.helpers.official import SMALL, official_state_dict
from universeg_jax.cache import cache_folder
from universeg_jax.errors import WeightsError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.util.files import GitBlobId, Sha256
from universeg_jax.weights import catalogue, loading, shipped, store
from universeg_jax.weights.catalogue import RELEASES, Release
from universeg_jax.weights.fetch import Address
from universeg_jax.weights.loading import known_weights, load
from universeg_jax.weights.names.universeg import export_universeg
from universeg_jax.weights.torch_io.file import save_torch

TENSORS = official_state_dict(SMALL)


def assert_holds(model, tensors):
    for name, tensor in export_universeg(model).items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path):
    """The file of the release "small"."""
    save_torch(TENSORS, tmp_path / "small.pt")
    return tmp_path / "small.pt"


@pytest.fixture
def server(file, cache, monkeypatch):
    """Serves the release "small", which `load` then knows as "universeg-v1"."""
    with serve(file.read_bytes()) as server:
        release = Release(
            name="universeg-v1",
            source=Address(server.url),
            digest=GitBlobId.of(file),
            megabytes=1,
            licence="none",
            about="For tests.",
            config=UniverSegConfig(SMALL),
        )
        monkeypatch.setattr(loading, "RELEASES", (release,))
        yield server


def test_a_release_is_downloaded_converted_and_kept(server, cache):
    assert_holds(uj.universeg(pretrained=True), TENSORS)
    assert sorted(path.name for path in cache.iterdir()) == ["file.pt", "universeg-v1"]
    provenance = store.read_description(cache / "universeg-v1")["provenance"]
    assert provenance["source"] == server.url
    assert_holds(load("universeg-v1"), TENSORS)
    assert len(server.requests) == 1


def test_a_download_broken_off_is_resumed_and_converted(server, cache):
    server.breaks_after = 1000
    with pytest.raises(WeightsError, match="broke off after 1000"):
        load("universeg-v1")
    server.breaks_after = None
    assert_holds(load("universeg-v1"), TENSORS)
    assert server.requests[-1]["Range"] == "bytes=1000-"


def test_without_network_the_error_says_how_and_following_it_works(server, cache, file, monkeypatch):
    offline = replace(loading.RELEASES[0], source=Address("http://127.0.0.1:9/weights/file.pt"))
    monkeypatch.setattr(loading, "RELEASES", (offline,))
    with pytest.raises(WeightsError) as caught:
        load("universeg-v1")
    url, place = re.search(r"by hand, fetch (\S+)\nand save it as (\S+)$", str(caught.value)).groups()
    assert url == offline.source.url
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_bytes(file.read_bytes())
    assert f"in {place}" in known_weights()[-1].state
    assert_holds(load("universeg-v1"), TENSORS)


def test_another_file_put_there_by_hand_that_fits_is_used_with_a_warning_every_time(server, cache, tmp_path):
    expected = loading.RELEASES[0].digest
    others = official_state_dict(SMALL, seed=5)
    save_torch(others, tmp_path / "other.pt")
    cache.mkdir()
    (cache / "file.pt").write_bytes((tmp_path / "other.pt").read_bytes())
    for _ in range(2):
        with pytest.warns(UserWarning, match=f"{GitBlobId.of(tmp_path / 'other.pt')}; expected {expected}"):
            assert_holds(load("universeg-v1"), others)


def test_a_file_of_another_kind_of_network_is_named(server, cache, tmp_path):
    save_torch({"blocks.0.ls1.gamma": np.zeros(2, np.float32)}, tmp_path / "dinov2.pth")
    cache.mkdir()
    (cache / "file.pt").write_bytes((tmp_path / "dinov2.pth").read_bytes())
    with pytest.raises(WeightsError, match=r"is not of a UniverSeg\. These are the weights of a DINOv2"):
        load("universeg-v1")


def test_a_file_of_another_release_is_named_though_it_fits(server, cache, file, tmp_path, monkeypatch):
    save_torch(official_state_dict(SMALL, seed=5), tmp_path / "other.pt")
    other = replace(loading.RELEASES[0], name="universeg-v2", digest=GitBlobId.of(tmp_path / "other.pt"))
    monkeypatch.setattr(catalogue, "RELEASES", (*loading.RELEASES, other))
    cache.mkdir()
    (cache / "file.pt").write_bytes((tmp_path / "other.pt").read_bytes())
    with pytest.raises(WeightsError, match="is not universeg-v1: it is the released file of universeg-v2\nRemove"):
        load("universeg-v1")
    (cache / "file.pt").write_bytes(file.read_bytes())
    assert_holds(load("universeg-v1"), TENSORS)


@pytest.mark.parametrize("kind", ["fits", "other network", "no weights"])
def test_other_bytes_than_the_released_are_kept_apart(server, cache, tmp_path, kind):
    features = {"fits": SMALL, "other network": ((2, 2), (2, 2))}.get(kind)
    if features:
        save_torch(official_state_dict(features, seed=5), tmp_path / "wrong.pt")
        server.content = (tmp_path / "wrong.pt").read_bytes()
    else:
        server.content = b"a login page that claims to be binary"
    rejected, file = cache / "file.pt.rejected", cache / "file.pt"
    with pytest.raises(
        WeightsError, match=f"is not universeg-v1: it has .*; expected (?s:.*)kept as {rejected}.*{file}"
    ):
        load("universeg-v1")
    assert [path.name for path in cache.iterdir()] == [rejected.name]
    assert rejected.read_bytes() == server.content


def test_a_file_put_there_by_hand_that_does_not_fit_is_left_there(server, cache):
    cache.mkdir()
    (cache / "file.pt").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=f"Remove {cache / 'file.pt'} to"):
        load("universeg-v1")
    assert (cache / "file.pt").read_bytes() == b"not weights"


def test_a_damaged_cache_says_what_to_delete(server, cache):
    load("universeg-v1")
    (cache / "universeg-v1" / "parameters" / "manifest.ocdbt").unlink()
    with pytest.raises(WeightsError, match=f"Delete {cache / 'universeg-v1'} "):
        load("universeg-v1")


def test_a_cache_folder_that_cannot_be_is_named(server, cache):
    cache.write_text("a file")
    with pytest.raises(WeightsError, match=f"{cache}: cannot be used as cache folder.*UNIVERSEG_JAX_CACHE"):
        load("universeg-v1")


@pytest.mark.slow
def test_two_processes_download_once(server, cache):
    program = (
        "import sys; from dataclasses import replace; from universeg_jax.weights import loading; "
        "from universeg_jax.models.universeg import UniverSegConfig; "
        "from universeg_jax.util.files import GitBlobId; from universeg_jax.weights.fetch import Address; "
        "loading.RELEASES = (replace(loading.RELEASES[0], source=Address(sys.argv[1]), digest=GitBlobId(sys.argv[2]), "
        "config=UniverSegConfig(((2, 3), (4, 5), (3, 2)))),); loading.load('universeg-v1')"
    )
    arguments = [sys.executable, "-W", "error", "-c", program, server.url, loading.RELEASES[0].digest.value]
    processes = [subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert len(server.requests) == 1
    assert_holds(load("universeg-v1"), TENSORS)


def test_the_release_is_the_authors():
    release = RELEASES[0]
    assert release.source.url == (
        "https://github.com/JJGO/UniverSeg/releases/download/weights/universeg_v1_nf64_ss64_STA.pt"
    )
    assert release.digest == GitBlobId("eedd25b13679d2f06ec4f9b59bcf02fc9205e06b")
    assert release.file_name == "universeg_v1_nf64_ss64_STA.pt"


def test_names_and_files_of_releases_are_their_own_and_their_addresses_are_secure():
    for values in zip(*((release.name, release.file_name, release.digest) for release in RELEASES), strict=True):
        assert len(set(values)) == len(RELEASES)
    addresses = [release.source.url for release in RELEASES if isinstance(release.source, Address)]
    assert len(addresses) == len(RELEASES) - 1
    assert all(address.startswith("https://") for address in addresses)


def test_digests_are_those_that_git_and_sha256sum_give(tmp_path):
    (tmp_path / "hello").write_bytes(b"hello world\n")
    assert GitBlobId.of(tmp_path / "hello").value == "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"
    assert Sha256.of(tmp_path / "hello").value == "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"


def test_known_weights_say_where_they_are(server, cache):
    first, *_, release = known_weights()
    assert (first.name, first.state, first.licence) == (shipped.DEFAULT, "shipped", "research use only")
    assert release.state == "downloaded when first used, 1 MB"
    load("universeg-v1")
    assert known_weights()[-1].state == f"in {cache / 'universeg-v1'}"


def test_the_cache_folder_is_the_users_by_default(monkeypatch):
    monkeypatch.delenv("UNIVERSEG_JAX_CACHE", raising=False)
    assert "universeg-jax" in str(cache_folder())
