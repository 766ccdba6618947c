"""Import public names when they are first used, and say how to install packages that are missing."""

import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

PROJECT = "universeg-jax"
_ROOT = Path(__file__).resolve().parents[2]


def lazy_names(
    package: str, names: Mapping[str, Sequence[str]]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Make `__all__`, `__getattr__` and `__dir__` of a package from one table.

    `universeg-jax --help` imports the package, and need not wait for JAX this way.

    Args:
        package: `__name__` of the package.
        names: module, relative to the package -> the public names that it defines. A module with no names is
            public itself.
    """
    homes = {name: f"{package}.{module}" for module, defined in names.items() for name in defined or (module,)}
    public = sorted(homes)

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    return public, get, lambda: public


def import_meanwhile(*modules: str) -> threading.Thread:
    """Import slow modules in a thread, while the main thread waits for a device.

    An import statement waits until the thread has imported its module, and repeats its error.
    """

    def import_all() -> None:
        for module in modules:
            with suppress(ImportError):
                import_module(module)

    thread = threading.Thread(target=import_all, daemon=True)
    thread.start()
    return thread


def install_command(extra: str) -> str:
    """Return the command that installs an extra: from the source folder, or else its packages by name.

    Args:
        extra: a key of [project.optional-dependencies] in pyproject.toml.
    """
    if (_ROOT / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{_ROOT}[{extra}]')}"
    return f"pip install {' '.join(map(shlex.quote, _packages(extra)))}"


def _packages(extra: str) -> list[str]:
    """List the requirements of an extra in the installed metadata; extras that name other extras are followed."""
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
