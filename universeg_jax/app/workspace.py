"""A folder that is being labelled: its images, masks, classes and the state of each image.

FOLDER/images/a.png ...        images, never changed (or FOLDER/a.png ..., where there is no images/)
FOLDER/masks/a.png ...         masks that were painted or confirmed, and those that were there before
FOLDER/classes.json            names of classes: {"1": "nucleus"}
FOLDER/.universeg/             states, thumbnails and proposals; safe to delete, masks stay
"""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from universeg_jax.app.pictures import digest, for_screen, thumbnail, whole_in_new_folder
from universeg_jax.app.proposal import Proposal, read_proposal, write_proposal
from universeg_jax.app.states import Kept, State, read_states, write_states
from universeg_jax.errors import InputError
from universeg_jax.io.masks import ColourCoding, GreyCoding, MaskCoding, common_coding, read_mask, values_in, write_mask
from universeg_jax.io.overview import CLASS_COLOURS
from universeg_jax.io.pictures import read_image
from universeg_jax.io.task_folder import LABELLING, check_same_size, list_pictures, read_class_names
from universeg_jax.util.json_files import read_json, write_json

LONGEST_NAME = 40  # characters of a class name


class MaskChanged(InputError):
    """The mask of an image was saved elsewhere, such as in another tab, after it was opened here."""


class Workspace:
    """A folder that is being labelled.

    Methods may be called from several threads. Every change is on disk when a method returns.

    Args:
        folder: it holds images/, or the pictures themselves.

    Raises:
        InputError: no folder, no pictures, masks of no image, or masks that do not go together.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"{folder}: there is no such folder; name a folder of images")
        self.image_folder = self.folder / "images" if (self.folder / "images").is_dir() else self.folder
        self.mask_folder = self.folder / "masks"
        self._images = _pictures(self.image_folder)
        self._lock = threading.RLock()
        self._states: dict[str, State] = {}
        self._forecasts: dict[str, float] = {}
        self._proposals: dict[str, Proposal] = {}
        kept, self._seen_masks = read_states(self._states_file)
        self._open_masks()
        self._find_states(kept)

    @property
    def names(self) -> list[str]:
        """Names of all images, sorted."""
        return list(self._images)

    @property
    def classes(self) -> dict[int, str]:
        """Names of the class values, without the background."""
        return dict(self._classes)

    @property
    def colours(self) -> dict[int, str]:
        """Colours of the class values, as #rrggbb."""
        if isinstance(self._coding, ColourCoding):
            return {value: f"#{value:06x}" for value in self._classes}
        return {value: CLASS_COLOURS[i % len(CLASS_COLOURS)] for i, value in enumerate(self._classes)}

    def state(self, name: str) -> State:
        """Return the state of an image."""
        return self._states.get(name, State.EMPTY)

    def forecast(self, name: str) -> float | None:
        """Return the expected Dice of an image's proposal; None without a proposal."""
        return self._forecasts.get(name)

    def confirmed(self) -> list[str]:
        """Return the names of the confirmed images, which are the examples."""
        return [name for name in self.names if self.state(name) is State.CONFIRMED]

    def order(self) -> list[str]:
        """Return all names in the order of work: proposals with the lowest forecast, then empty, then confirmed."""
        rank = {State.PROPOSED: 0, State.EDITED: 0, State.EMPTY: 1, State.CONFIRMED: 2}
        return sorted(self.names, key=lambda name: (rank[self.state(name)], self._forecasts.get(name, 0.0), name))

    def next_to_look_at(self) -> str | None:
        """Return the image that is not confirmed with the lowest forecast; None where all are confirmed."""
        first = self.order()[0]
        return None if self.state(first) is State.CONFIRMED else first

    def image(self, name: str) -> np.ndarray:
        """Read an image (H,W) or (H,W,3) in its own dtype."""
        return read_image(self.image_file(name))

    def picture(self, name: str) -> np.ndarray:
        """Read an image as (H,W,3) uint8 for the screen, scaled by its own minimum and maximum."""
        return for_screen(self.image(name))

    def thumbnail(self, name: str) -> Image.Image:
        """Return a small picture of an image. It is made once and kept."""
        file = self.image_file(name)
        return thumbnail(self.folder / LABELLING / "thumbnails", [name, *_stamp(file)], lambda: self.picture(name))

    def mask(self, name: str) -> np.ndarray | None:
        """Read the class values (H,W) of an image's mask; None where there is none."""
        file = self.mask_file(name)
        if not file.exists():
            return None
        mask = read_mask(file)
        return values_in(mask, self._coding)

    def token(self, name: str) -> str:
        """Return what identifies the content of an image's mask, to notice changes by others."""
        file = self.mask_file(name)
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""

    def save(self, name: str, values: np.ndarray, *, seen: str, confirm: bool) -> str:
        """Save a mask whole or not at all, and return its token.

        Args:
            values: (H,W) class values, 0 or one of `classes`.
            seen: token of the mask that the editing began from.
            confirm: whether the mask becomes an example.

        Raises:
            MaskChanged: the mask on disk is another one; nothing is written.
            InputError: another size than the image, or unknown class values.
        """
        values = np.asarray(values).astype(np.int32)
        unknown = set(np.unique(values).tolist()) - {0, *self._classes}
        if unknown:
            raise InputError(f"{name}: the mask holds the class {min(unknown)}; classes are {sorted(self._classes)}")
        check_same_size(self.mask_file(name), values, self.image_file(name), self.image(name))
        with self._lock:
            if self.token(name) != seen:
                raise MaskChanged(
                    f"{name}: its mask was changed elsewhere, such as in another tab. Open the image again to see that "
                    "mask; what you painted here was not saved"
                )
            file = self.mask_file(name)
            if not file.exists():
                file = self.mask_folder / f"{name}.png"
            elif file.suffix.lower() != ".png":
                raise InputError(f"{file}: only PNG masks can be edited; save it as PNG and remove this file")
            old = self.mask(name)
            if old is None or not np.array_equal(old, values):  # an unchanged mask stays byte for byte
                coding = self._coding
                if isinstance(coding, GreyCoding):
                    coding = GreyCoding(wide=coding.wide or bool(values.max(initial=0) > 255))
                with whole_in_new_folder(file) as part:
                    write_mask(part, values, coding)
                self._mask_files[name] = file
                if isinstance(coding, GreyCoding):
                    self._seen_masks[name] = [*_stamp(file), *np.unique(values).tolist()]
            self._states[name] = State.CONFIRMED if confirm else State.EDITED
            self._save_classes()
            self._save_states()
            return self.token(name)

    def reopen(self, name: str) -> None:
        """Take an image out of the examples. Its mask stays."""
        with self._lock:
            if self.state(name) is State.CONFIRMED:
                self._states[name] = State.EDITED
                self._save_states()

    def propose(self, name: str, proposal: Proposal) -> None:
        """Keep a proposal for an image. A painted or confirmed mask stays as it is."""
        with self._lock:
            self._proposals[name] = proposal
            self._forecasts[name] = float(proposal.forecast)
            if self.state(name) is State.EMPTY:
                self._states[name] = State.PROPOSED
            with whole_in_new_folder(self._proposal_file(name)) as part:
                write_proposal(part, proposal)
            self._save_states()

    def proposal(self, name: str) -> Proposal | None:
        """Return the proposal for an image, also of an earlier session; None where there is none."""
        with self._lock:
            if name not in self._proposals and self.state(name) is not State.EMPTY:
                found = read_proposal(self._proposal_file(name), len(self._classes))
                if found is not None:
                    self._proposals[name] = found
            return self._proposals.get(name)

    def name_class(self, value: int, name: str) -> None:
        """Give a class a name.

        Raises:
            InputError: unknown class, or a name that is empty, too long, not printable or taken.
        """
        name = name.strip()
        if value not in self._classes:
            raise InputError(f"class {value}: classes are {sorted(self._classes)}")
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise InputError(f"class name {name[:50]!r}: use 1 to {LONGEST_NAME} printable characters")
        if any(other == name for key, other in self._classes.items() if key != value):
            raise InputError(f"class name {name!r}: another class has it")
        with self._lock:
            self._classes[value] = name
            self._save_classes()

    def add_class(self) -> int:
        """Add a class and return its value.

        Raises:
            InputError: masks that are written as colours or with a palette, or too many classes.
        """
        with self._lock:
            if not isinstance(self._coding, GreyCoding):
                raise InputError(f"{self.mask_folder}: its masks hold {self._coding.kind}; add a class in one of them")
            value = max(self._classes, default=0) + 1
            if value > 255 or len(self._classes) >= len(CLASS_COLOURS):
                raise InputError(f"there are {len(self._classes)} classes; the page draws {len(CLASS_COLOURS)} colours")
            self._classes[value] = f"class {value}"
            self._save_classes()
            self._proposals.clear()  # they have no probability of the new class
            return value

    def image_file(self, name: str) -> Path:
        """Return the file of an image.

        Raises:
            InputError: there is no image of this name.
        """
        if name not in self._images:
            raise InputError(f"{name!r}: there is no such image in {self.image_folder}")
        return self._images[name]

    def mask_file(self, name: str) -> Path:
        """Return the file of an image's mask, which need not exist."""
        self.image_file(name)  # refuses names that are no image
        return self._mask_files.get(name, self.mask_folder / f"{name}.png")

    def _proposal_file(self, name: str) -> Path:
        return self.folder / LABELLING / "proposals" / f"{digest(name)}.npz"

    def _open_masks(self) -> None:
        """Find the masks that are there, their coding and their classes."""
        self._mask_files: dict[str, Path] = {}
        self._coding: MaskCoding = GreyCoding()
        values: set[int] = set()
        if self.mask_folder.is_dir() and any(self.mask_folder.iterdir()):
            self._mask_files = list_pictures(self.mask_folder)
            lonely = sorted(self._mask_files.keys() - self._images.keys())
            if lonely:
                raise InputError(f"{self.mask_folder}: no image for {', '.join(lonely[:5])}; remove or rename the mask")
            values = self._known_values()
            if values is None:
                masks = [read_mask(file) for file in self._mask_files.values()]
                self._coding = common_coding(masks)
                found = {mask.path: np.unique(values_in(mask, self._coding)).tolist() for mask in masks}
                values = set().union(*found.values())
                if isinstance(self._coding, GreyCoding):
                    self._seen_masks = {name: [*_stamp(file), *found[file]] for name, file in self._mask_files.items()}
        names = read_class_names(self.folder / "classes.json")
        for key in names:
            if isinstance(self._coding, GreyCoding) and key.isdecimal():
                values.add(int(key))
        values = values - {0} or {1}
        self._classes = {value: self._class_name(value, names) for value in sorted(values)}
        if len(self._classes) > len(CLASS_COLOURS):
            raise InputError(
                f"{self.mask_folder}: the masks hold {len(self._classes)} classes, the page draws "
                f"{len(CLASS_COLOURS)}; keep fewer classes in the masks"
            )

    def _known_values(self) -> set[int] | None:
        """Return the class values of all masks, if none has changed since they were read last; else None."""
        seen = self._seen_masks
        if seen.keys() != self._mask_files.keys():
            return None
        if any(seen[name][:2] != _stamp(file) for name, file in self._mask_files.items()):
            return None
        return set().union(*(about[2:] for about in seen.values()))

    def _class_name(self, value: int, names: Mapping[str, str]) -> str:
        code = self._coding.name(value)
        return names.get(code, code if isinstance(self._coding, ColourCoding) else f"class {code}")

    def _find_states(self, kept: Mapping[str, Kept]) -> None:
        """Take over the states of an earlier session, as far as masks and proposals bear them out."""
        for name in self.names:
            about = kept.get(name, Kept(State.EMPTY, None))
            proposed = self._proposal_file(name).is_file()
            if name in self._mask_files:
                self._states[name] = State.EDITED if about.state is State.EDITED else State.CONFIRMED
            elif about.state is State.PROPOSED and proposed:
                self._states[name] = State.PROPOSED
            if about.forecast is not None and proposed:
                self._forecasts[name] = about.forecast

    def _save_states(self) -> None:
        images = {name: Kept(state, self._forecasts.get(name)) for name, state in self._states.items()}
        write_states(self._states_file, images, self._seen_masks)

    @property
    def _states_file(self) -> Path:
        return self.folder / LABELLING / "states.json"

    def _save_classes(self) -> None:
        names = {self._coding.name(value): name for value, name in self._classes.items()}
        file = self.folder / "classes.json"
        if not file.exists() or read_json(file) != names:
            write_json(file, names)


def _pictures(folder: Path) -> dict[str, Path]:
    """List the pictures of a folder. Links that lead out of it are refused."""
    found = list_pictures(folder, but=("masks", "classes.json"))
    inside = folder.resolve()
    for file in found.values():
        if not file.resolve().is_relative_to(inside):
            raise InputError(f"{file}: is a link to a file outside of {folder}; copy the file into the folder")
    return found


def _stamp(file: Path) -> list[int]:
    about = file.stat()
    return [about.st_size, about.st_mtime_ns]
