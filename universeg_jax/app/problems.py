"""Images that cannot be used, and why. The others are labelled and proposed without them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from universeg_jax.errors import InputError


class Problems:
    """Reasons why images, masks or volumes cannot be used, by the name of the image or volume."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[str, tuple]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def noting(self, name: str, version: tuple = ()) -> Iterator[None]:
        """Note an error inside, and continue after the block.

        A block that succeeds removes the note; it must read everything that may have been wrong.

        Args:
            name: of the image or volume.
            version: changes when its files change.
        """
        try:
            yield
        except (InputError, OSError) as error:
            self.note(name, _reason(error), version)
        else:
            with self._lock:
                self._noted.pop(name, None)

    def note(self, name: str, reason: str, version: tuple = ()) -> None:
        """Note why an image cannot be used; the reason names the file."""
        with self._lock:
            self._noted[name] = reason, version

    def of(self, name: str) -> str:
        """Return why an image cannot be used; "" for one without a known problem."""
        return self._noted.get(name, ("", ()))[0]

    def is_of(self, name: str, version: tuple) -> bool:
        """Tell whether an image has a problem that was noted for this version of its files."""
        return name in self._noted and self._noted[name][1] == version

    def all(self) -> dict[str, str]:
        """Return all reasons by name, sorted."""
        with self._lock:
            return {name: self._noted[name][0] for name in sorted(self._noted)}


def _reason(error: Exception) -> str:
    """Return an error as one line that names its file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
