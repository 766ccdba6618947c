"""Import the public names of a package when they are first used."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


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
