"""Classes of a folder that is being labelled: values, names and colours."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from universeg_jax.errors import InputError
from universeg_jax.io.masks import ColourCoding, GreyCoding, MaskCoding
from universeg_jax.io.sheet import CLASS_COLOURS
from universeg_jax.io.task_folder import read_class_names
from universeg_jax.util.checks import is_number
from universeg_jax.util.json_files import read_json, write_json

LONGEST_NAME = 40  # characters of a class name


class FolderClasses:
    """Classes of a folder, without the background. Names are kept in classes.json.

    Args:
        folder: the folder.
        values: class values in the masks.
        coding: coding of the class values.
        given: names that the masks themselves give; those in classes.json come first.

    Raises:
        InputError: more classes than the page has colours, or a classes.json that cannot be read.
    """

    def __init__(self, folder: Path, values: Iterable[int], coding: MaskCoding, given: Mapping[int, str] | None = None):
        self._file, self._coding = folder / "classes.json", coding
        kept, given, found = read_class_names(self._file), given or {}, set(values)
        if isinstance(coding, GreyCoding):
            found |= {int(key) for key in kept if is_number(key)}
        found = found - {0} or {1}
        self.names = {}
        for value in sorted(found):
            code = coding.name(value)
            default = code if isinstance(coding, ColourCoding) else f"class {code}"
            self.names[value] = kept.get(code, given.get(value, default))
        if len(found) > len(CLASS_COLOURS):
            raise InputError(
                f"{folder}: the masks hold {len(found)} classes, the page draws {len(CLASS_COLOURS)}; "
                "keep fewer classes in the masks"
            )

    @property
    def colours(self) -> dict[int, str]:
        """Colours of the class values, as #rrggbb."""
        if isinstance(self._coding, ColourCoding):
            return {value: f"#{value:06x}" for value in self.names}
        return {value: CLASS_COLOURS[i % len(CLASS_COLOURS)] for i, value in enumerate(self.names)}

    def rename(self, value: int, name: str) -> None:
        """Give a class a name, and save the names.

        Raises:
            InputError: unknown class, or a name that is empty, too long, not printable or taken.
        """
        name = name.strip()
        if value not in self.names:
            raise InputError(f"class {value}: classes are {sorted(self.names)}")
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise InputError(f"class name {name[:50]!r}: use 1 to {LONGEST_NAME} printable characters")
        if any(other == name for key, other in self.names.items() if key != value):
            raise InputError(f"class name {name!r}: another class has it")
        self.names[value] = name
        self.save()

    def add(self) -> int:
        """Add a class, save the names, and return its value.

        Raises:
            InputError: masks that are written as colours or with a palette, or too many classes.
        """
        if not isinstance(self._coding, GreyCoding):
            raise InputError(f"{self._file.parent}: its masks hold {self._coding.kind}; add a class in one of them")
        value = max(self.names, default=0) + 1
        if value > 255 or len(self.names) >= len(CLASS_COLOURS):
            raise InputError(f"there are {len(self.names)} classes; the page draws {len(CLASS_COLOURS)} colours")
        self.names[value] = f"class {value}"
        self.save()
        return value

    def check(self, name: str, values: Iterable[int]) -> None:
        """Refuse a mask of an image that holds values without a class."""
        unknown = set(values) - {0, *self.names}
        if unknown:
            raise InputError(f"{name}: the mask holds the class {min(unknown)}; classes are {sorted(self.names)}")

    def save(self) -> None:
        """Write classes.json, if it holds other names."""
        names = {self._coding.name(value): name for value, name in self.names.items()}
        if not self._file.exists() or read_json(self._file) != names:
            write_json(self._file, names)
