"""A folder that is being labelled: its images, masks, classes and the state of each image.

FOLDER/images/a.png ...        images, never changed (or FOLDER/a.png ..., where there is no images/)
FOLDER/masks/a.png ...         masks that were painted or confirmed, and those that were there before
FOLDER/classes.json            names of classes: {"1": "nucleus"}
FOLDER/empty-slices.json       slices of volumes that were labelled as empty
FOLDER/.universeg/             states, thumbnails and proposals; safe to delete, masks stay

Images are pictures, or the slices of volumes (`files.py`, `scan_slices.py`).
"""

import threading
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from universeg_jax.app.classes import FolderClasses
from universeg_jax.app.files import PictureFiles, check_inside
from universeg_jax.app.folder_images import FolderImages
from universeg_jax.app.proposal import Proposal, Proposals
from universeg_jax.app.scan_slices import ScanSlices
from universeg_jax.app.states import Kept, Session, State
from universeg_jax.errors import InputError
from universeg_jax.io.pairing import EMPTY_SLICES, IMAGE_FOLDERS, MASK_FOLDERS
from universeg_jax.io.task_folder import LABELLING
from universeg_jax.io.volume_folder import has_volumes
from universeg_jax.util.files import TEMPORARY, remove_left

OWN = (*IMAGE_FOLDERS, *MASK_FOLDERS, "classes.json", EMPTY_SLICES, LABELLING)
"""Files and folders that are read or written."""

RANK = {State.PROPOSED: 0, State.EDITED: 0, State.EMPTY: 1, State.CONFIRMED: 2}


class MaskChanged(InputError):
    """The mask of an image was saved elsewhere, such as in another tab, after it was opened here."""


class Workspace(FolderImages):
    """A folder that is being labelled.

    Methods may be called from several threads. Every change is on disk when a method returns.

    Args:
        folder: it holds images/, or the pictures or volumes themselves.
        axis: axis to cut volumes along; "" takes the axis of an earlier session, else the one of the thickest slices.

    Attributes:
        folder: the folder.
        files: its images and masks on disk.
        problems: images and volumes that cannot be used, and why.

    Raises:
        InputError: no folder, no images, masks of no image, or masks that do not go together.
    """

    def __init__(self, folder: Path, *, axis: str = ""):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"{folder}: there is no such folder; name a folder of images")
        check_inside(self.folder, (self.folder / name for name in OWN))
        check_inside(self.folder, (self.folder / LABELLING).glob("*"))
        session = Session.read(self._session_file)
        volumes = has_volumes(self.folder)
        if axis and not volumes:
            raise InputError(f"--axis {axis}: {folder} holds pictures; an axis is for volumes")
        super().__init__(
            ScanSlices(self.folder, session, axis) if volumes else PictureFiles(self.folder, session),
            self.folder / LABELLING / "thumbnails",
        )
        self._position = {name: i for i, name in enumerate(self.files.names)}
        self._classes = FolderClasses(self.folder, self.files.values, self.files.coding, self.files.class_names)
        self._proposals = Proposals(self.folder / LABELLING / "proposals")
        self._lock = threading.RLock()
        self._states: dict[str, State] = {}
        self._forecasts: dict[str, float] = {}
        self._find_states(session.images)

    @property
    def classes(self) -> dict[int, str]:
        """Names of the class values, without the background."""
        return dict(self._classes.names)

    @property
    def colours(self) -> dict[int, str]:
        """Colours of the class values, as #rrggbb."""
        return self._classes.colours

    def state(self, name: str) -> State:
        """Return the state of an image."""
        return self._states.get(name, State.EMPTY)

    def forecast(self, name: str) -> float | None:
        """Return the expected Dice of an image's proposal; None without a proposal."""
        return self._forecasts.get(name)

    def confirmed(self) -> list[str]:
        """Return the names of the confirmed images, which are the examples."""
        return [name for name in self.names if self.state(name) is State.CONFIRMED]

    def confirmed_last(self, most: int) -> list[str]:
        """Return the sorted names of the images that were confirmed last, up to a number."""
        with self._lock:
            last = [name for name, state in self._states.items() if state is State.CONFIRMED][-most:]
        return sorted(last, key=self._position.__getitem__)

    def order(self, names: Collection[str] | None = None) -> list[str]:
        """Return names in the order of work: lowest forecast first, then empty, confirmed, and those with a problem.

        Args:
            names: the images; None takes all.
        """

        def key(name: str) -> tuple:
            return (
                bool(self.problem(name)),
                RANK[self.state(name)],
                self._forecasts.get(name, 0.0),
                self._position[name],
            )

        return sorted(self.names if names is None else names, key=key)

    def next_to_look_at(self) -> str | None:
        """Return the unconfirmed image with the lowest forecast; None if all usable images are confirmed."""
        first = self.order()[0]
        return None if self.state(first) is State.CONFIRMED or self.problem(first) else first

    def save(self, name: str, values: np.ndarray, *, seen: str, confirm: bool) -> str:
        """Save a mask whole or not at all, and return its token.

        Args:
            name: the image.
            values: (H,W) class values, 0 or one of `classes`.
            seen: token of the mask that the editing began from.
            confirm: whether the mask becomes an example.

        Raises:
            MaskChanged: the mask on disk is another one; nothing is written.
            InputError: another size than the image, or unknown class values.
        """
        with self._lock:
            if self.token(name) != seen:
                raise MaskChanged(
                    f"{name}: its mask was changed elsewhere, such as in another tab. Open the image again to see that "
                    "mask; what you painted here was not saved"
                )
            self._write({name: values}, State.CONFIRMED if confirm else State.EDITED)
            return self.token(name)

    def confirm_proposals(self, names: Collection[str], threshold: float) -> list[str]:
        """Confirm the proposals of images as they are, and return the names of these images.

        Args:
            names: the images; those that were edited, confirmed or have no proposal stay as they are.
            threshold: probability from which a pixel is in a mask.
        """
        with self._lock:
            found = {name: self.proposal(name) for name in names if self.state(name) is State.PROPOSED}
            values = tuple(self.classes)
            masks = {name: one.mask(threshold, values) for name, one in found.items() if one is not None}
            if masks:
                self._write(masks, State.CONFIRMED)
            return list(masks)

    def reopen(self, name: str) -> None:
        """Take an image out of the examples. Its mask stays."""
        with self._lock:
            if self.state(name) is State.CONFIRMED:
                self._states[name] = State.EDITED
                self._save_session()

    def propose(self, name: str, proposal: Proposal) -> None:
        """Keep a proposal for an image. A painted or confirmed mask stays as it is."""
        with self._lock:
            self._proposals.write(name, proposal)
            self._forecasts[name] = float(proposal.forecast)
            if self.state(name) is State.EMPTY:
                self._states[name] = State.PROPOSED
            self._save_session()

    def proposal(self, name: str) -> Proposal | None:
        """Return the proposal for an image, also of an earlier session; None if there is none."""
        with self._lock:
            return self._proposals.read(name, len(self._classes.names)) if name in self._forecasts else None

    def name_class(self, value: int, name: str) -> None:
        """Give a class a name.

        Raises:
            InputError: unknown class, or a name that is empty, too long, not printable or taken.
        """
        with self._lock:
            self._classes.rename(value, name)

    def add_class(self) -> int:
        """Add a class and return its value.

        Raises:
            InputError: masks that are written as colours or with a palette, or too many classes.
        """
        with self._lock:
            return self._classes.add()

    def remove_unfinished(self) -> None:
        """Remove unfinished files of a killed process. No other process may have the folder open."""
        own = self.folder / LABELLING
        for place in (self.folder, self.files.mask_folder, own, *own.glob("*")):
            if place.is_dir():
                remove_left(place)
                for file in place.glob(f"{TEMPORARY}*"):
                    if file.is_file():
                        file.unlink()

    def _write(self, masks: Mapping[str, np.ndarray], state: State) -> None:
        """Write masks and their state. If it is killed at any time, an unconfirmed mask never counts as confirmed."""
        masks = {name: np.asarray(values).astype(np.int32) for name, values in masks.items()}
        for name, values in masks.items():
            self._classes.check(name, np.unique(values).tolist())
        before = dict(self._states)
        for name in masks:
            self._states.pop(name, None)
            self._states[name] = state
        try:
            if state is State.EDITED:
                self._save_session()
            self.files.write(masks)
        except BaseException:
            self._states = before
            if state is State.EDITED:
                with suppress(OSError):
                    self._save_session()
            raise
        self._classes.save()
        self._save_session()

    def _find_states(self, kept: Mapping[str, Kept]) -> None:
        """Take over the states of an earlier session that agree with the masks and proposals on disk."""
        known = [name for name in kept if name in self._position]
        proposed = self._proposals.names(self.names)
        for name in dict.fromkeys([*known, *self.names]):
            about = kept.get(name, Kept(State.EMPTY, None))
            if name in self.files.labelled:
                self._states[name] = State.EDITED if about.state is State.EDITED else State.CONFIRMED
            elif about.state is State.PROPOSED and name in proposed:
                self._states[name] = State.PROPOSED
            if about.forecast is not None and name in proposed:
                self._forecasts[name] = about.forecast

    def _save_session(self) -> None:
        images = {name: Kept(state, self._forecasts.get(name)) for name, state in self._states.items()}
        Session(images, self.files.seen, self.files.axis).write(self._session_file)

    @property
    def _session_file(self) -> Path:
        return self.folder / LABELLING / "states.json"
