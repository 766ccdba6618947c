"""Say how to install packages that a command needs."""

import shlex
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

PROJECT = "universeg-jax"
_ROOT = Path(__file__).resolve().parents[2]


def install_command(extra: str) -> str:
    """Command that installs an extra from where this package is: its source folder, or else the packages by name.

    Args:
        extra: a key of [project.optional-dependencies] in pyproject.toml.
    """
    if (_ROOT / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{_ROOT}[{extra}]')}"
    return f"pip install {' '.join(map(shlex.quote, _packages(extra)))}"


def _packages(extra: str) -> list[str]:
    """Requirements of an extra in the installed metadata; extras that name other extras are followed."""
    try:
        stated = requires(PROJECT) or []
    except PackageNotFoundError:
        return [f"{PROJECT}[{extra}]"]
    packages: list[str] = []
    for requirement in stated:
        name, _, marker = (part.strip() for part in requirement.partition(";"))
        if marker.replace("'", '"') != f'extra == "{extra}"':
            continue
        if name.startswith(f"{PROJECT}["):
            inner = name[len(PROJECT) + 1 :].rstrip("]").split(",")
            packages += [package for other in inner for package in _packages(other)]
        else:
            packages.append(name)
    return list(dict.fromkeys(packages))
