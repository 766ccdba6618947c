"""Downloads from a local server."""

import errno
import random
import socket
from pathlib import Path

import pytest

from tests.helpers.file_server import serve
from universeg_jax.errors import WeightsError
from universeg_jax.weights import fetch as module
from universeg_jax.weights.fetch import download

CONTENT = random.Random(0).randbytes(300_000)


@pytest.fixture
def server():
    with serve(CONTENT) as server:
        yield server


def broken_off(server, path, size=100_000):
    server.breaks_after = size
    with pytest.raises(WeightsError, match=rf"{size} of {len(server.content)} bytes"):
        download(server.url, path)
    assert not path.exists()
    server.breaks_after = None
    server.requests.clear()


def test_the_file_arrives_whole_and_alone(server, tmp_path):
    download(server.url, tmp_path / "new" / "file.pt")
    assert (tmp_path / "new" / "file.pt").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.pt"]


def test_a_progress_bar_counts_the_bytes(server, tmp_path, capsys):
    download(server.url, tmp_path / "file.pt")
    assert "file.pt: 100%" in capsys.readouterr().err
    download(server.url, tmp_path / "quiet.pt", progress=False)
    assert capsys.readouterr() == ("", "")


def test_what_broke_off_is_resumed(server, tmp_path):
    broken_off(server, tmp_path / "file.pt")
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT
    assert [request["Range"] for request in server.requests] == ["bytes=100000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file.pt"]


def test_it_may_break_off_again_and_again(server, tmp_path):
    server.breaks_after = 70_000
    for _ in range(4):
        with pytest.raises(WeightsError, match="broke off"):
            download(server.url, tmp_path / "file.pt")
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_another_file_is_not_glued_to_what_broke_off(server, tmp_path, ignores_if_range):
    broken_off(server, tmp_path / "file.pt")
    server.content, server.etag, server.ignores_if_range = CONTENT[::-1], '"2"', ignores_if_range
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(("ranges", "etag"), [(False, '"1"'), (True, None), (True, 'W/"1"')])
def test_a_server_that_cannot_resume_sends_it_again(server, tmp_path, ranges, etag):
    server.ranges, server.etag = ranges, etag
    broken_off(server, tmp_path / "file.pt")
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_shorter_file_since_starts_again(server, tmp_path):
    broken_off(server, tmp_path / "file.pt")
    server.content, server.ignores_if_range = CONTENT[:50_000], True
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT[:50_000]


def test_a_length_need_not_be_declared(server, tmp_path):
    server.declares_length = False
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refusals_are_named_and_leave_nothing(server, tmp_path, status):
    server.status = status
    with pytest.raises(WeightsError, match=f"file.pt: the server answers {status}"):
        download(server.url, tmp_path / "file.pt")
    assert not list(tmp_path.iterdir())


def test_a_web_page_is_refused_and_what_had_arrived_is_kept(server, tmp_path):
    broken_off(server, tmp_path / "file.pt")
    server.content_type, server.ranges = "text/html; charset=utf-8", False
    with pytest.raises(WeightsError, match="web page"):
        download(server.url, tmp_path / "file.pt")
    server.content_type, server.ranges = "application/octet-stream", True
    server.requests.clear()
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT
    assert server.requests[0]["Range"] == "bytes=100000-"


def test_no_server_is_named(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.pt"
        with pytest.raises(WeightsError, match=rf"{url}: .*refused"):
            download(url, tmp_path / "file.pt")
    assert not list(tmp_path.iterdir())


def test_a_server_that_says_nothing_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file.pt"
        with pytest.raises(WeightsError, match="timed out"):
            download(url, tmp_path / "file.pt", timeout=0.2)


def test_a_place_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=f"{tmp_path}/file/weights.pt: cannot be written"):
        download(server.url, tmp_path / "file" / "weights.pt")


def test_a_full_disk_is_named_and_the_file_does_not_appear(server, tmp_path, monkeypatch):
    class Full:
        def __init__(self, path, mode):
            self.file = Path(path).open(mode)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, chunk):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "open", Full, raising=False)
    with pytest.raises(WeightsError, match="cannot be written: No space left"):
        download(server.url, tmp_path / "file.pt")
    assert not (tmp_path / "file.pt").exists()


@pytest.mark.parametrize("declares_length", [True, False])
def test_a_file_that_is_too_large_is_refused_and_not_kept(server, tmp_path, declares_length):
    server.declares_length = declares_length
    with pytest.raises(WeightsError, match=r"sends (300,000 bytes, the file has at|more than the) .*299,999"):
        download(server.url, tmp_path / "file.pt", most=299_999)
    assert not list(tmp_path.glob("*.pt*")) or (tmp_path / "file.pt.part.version").exists()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100
    download(server.url, tmp_path / "file.pt", most=300_000)


def test_an_encoded_body_is_refused(server, tmp_path):
    server.encoding = "gzip"
    with pytest.raises(WeightsError, match="encoded as gzip, which was not asked for"):
        download(server.url, tmp_path / "file.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/file.pt", "http://example.org/file.pt", "file:///etc/passwd"])
def test_redirections_must_be_secure(server, tmp_path, place):
    server.redirects_to = place
    with pytest.raises(WeightsError, match=r"which is not https|is not allowed"):
        download(server.url, tmp_path / "file.pt")
    with pytest.raises(WeightsError, match=f"^{place} is not https"):
        download(place, tmp_path / "file.pt")


def test_a_server_that_dribbles_is_given_up_and_nothing_is_lost(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    server.seconds_between_bytes = 0.01
    with pytest.raises(WeightsError, match="bytes a second; try again to resume"):
        download(server.url, tmp_path / "file.pt")
    assert 10 < (tmp_path / "file.pt.part").stat().st_size < 1000
    server.seconds_between_bytes = 0
    download(server.url, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == CONTENT


def test_a_hang_loses_nothing(server, tmp_path):
    server.hangs_after = 1000
    with pytest.raises(WeightsError, match=r"broke off .*timed out"):
        download(server.url, tmp_path / "file.pt", timeout=0.3)
    assert (tmp_path / "file.pt.part").stat().st_size == 1000
