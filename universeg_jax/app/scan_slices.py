"""Volumes of a folder that is being labelled, slice by slice, and the files of their masks."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from universeg_jax.app.files import ScanFile, check_files, check_inside
from universeg_jax.app.states import LABELLED, Session, file_stamp
from universeg_jax.errors import InputError
from universeg_jax.io.masks import GreyCoding
from universeg_jax.io.pairing import EmptySlices
from universeg_jax.io.volume_files import (
    output_ending,
    read_label_volume,
    read_place,
    read_volume,
    write_label_volume,
)
from universeg_jax.io.volume_folder import find_mask_files, find_volume_folders, list_scans
from universeg_jax.io.volumes import Volume, values_of
from universeg_jax.segment.planes import Planes, coarsest_axis, volume_window
from universeg_jax.util.files import temporary_folder

KEPT = 2  # volumes, and masks, in memory


class ScanSlices:
    """Slices of volumes, and their masks on disk, in the format and geometry of their volume.

    The intensities of a volume are scaled to 0..255, alike in all of its slices. A DICOM series has a NIfTI mask.

    Args:
        folder: it holds images/ (or imagesTr/), or the volumes themselves; masks lie in masks/ (or labelsTr/).
        session: state of an earlier session.
        axis: axis to cut along; "" takes the axis of the session, else the axis along which the first volume was taken.

    Attributes:
        names: names of the slices, scan by scan: "a, slice 1", ...
        scans: names of the slices of each scan.
        axis: axis that volumes are cut along.
        coding: coding of the masks.
        values: class values in the masks.
        class_names: names that the masks give their classes.
        labelled: names of slices that were labelled.
        seen: size, time and class values of each mask file when it was read last, by the name of its scan.
        problems: reasons why volumes or their masks cannot be read, by the name of the scan. A volume that cannot be
            read has no slices.

    Raises:
        InputError: no volume that can be read, links out of the folder, pictures among volumes, masks of no volume,
            or an axis other than the session's.
    """

    def __init__(self, folder: Path, session: Session, axis: str = ""):
        self.image_folder, self.mask_folder = find_volume_folders(folder)
        paths = list_scans(self.image_folder, self.mask_folder)
        check_files(self.image_folder, paths)
        self.problems: dict[str, str] = {}
        places = self._places_of(paths)
        self.axis = _checked_axis(folder, axis, session.axis) or coarsest_axis(next(iter(places.values())))
        masks = find_mask_files(self.mask_folder, list(paths))
        check_inside(self.mask_folder, masks.values())
        self._scans = {}
        for name, place in places.items():
            path = paths[name]
            mask = masks.get(name, self.mask_folder / f"{name}{output_ending(path)}")
            self._scans[name] = ScanFile(path, mask, place, Planes.of(place, self.axis))
        self.scans = {
            name: [f"{name}, slice {number}" for number in range(1, scan.slices + 1)]
            for name, scan in self._scans.items()
        }
        self._places = {slice_: (name, i) for name, own in self.scans.items() for i, slice_ in enumerate(own)}
        self.names = list(self._places)
        self.coding = GreyCoding()
        self.values: set[int] = set()
        self.class_names: dict[int, str] = {}
        self.seen: dict[str, list[int]] = {}
        self._shown: OrderedDict[str, np.ndarray] = OrderedDict()
        self._labels: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.RLock()  # protects both caches
        self._folder, empty = folder, EmptySlices.read(folder)
        self._empty = {name: set(own) for name, own in empty.numbers.items() if empty.axis == self.axis}
        self.labelled = {name for name, kept in session.images.items() if kept.state in LABELLED}
        self.labelled |= {own[k] for name, own in self.scans.items() for k in self._empty.get(name, ()) if k < len(own)}
        self._open_masks(session)

    def image(self, name: str) -> np.ndarray:
        """Read a slice (H,W) uint8; 0 and 255 are the limits of the window of its volume."""
        scan, index = self._place(name)
        with self._lock:
            return _kept(self._shown, scan, lambda: self._read(scan))[index]

    def glance(self, name: str) -> np.ndarray:
        """Read a slice for a thumbnail. It displaces no volume from memory, and threads may call it together."""
        scan, index = self._place(name)
        with self._lock:
            shown = self._shown.get(scan)
        return (self._read(scan) if shown is None else shown)[index]

    def stamp(self, name: str) -> list:
        """Return values that change when the file of a slice changes."""
        path = self.image_file(name)
        return [name, self.axis, *file_stamp(path)]

    def mask(self, name: str) -> np.ndarray | None:
        """Read the class values (H,W) of a slice's mask; None if it was not labelled."""
        scan, index = self._place(name)
        labels = self.scan_labels(scan)
        if labels is None:
            return None
        own = self._scans[scan].planes.view(labels)[index]
        return own.astype(np.int32) if name in self.labelled or own.any() else None

    def token(self, name: str) -> str:
        """Return what identifies the content of a slice's mask; "" of an empty one."""
        scan, index = self._place(name)
        labels = self.scan_labels(scan)
        own = None if labels is None else self._scans[scan].planes.view(labels)[index]
        return "" if own is None or not own.any() else hashlib.sha256(own.astype("<u2").tobytes()).hexdigest()

    def write(self, masks: Mapping[str, np.ndarray]) -> None:
        """Write the masks of slices; the mask file of a scan changes once, whole or not at all.

        Raises:
            InputError: another size than the slice, or a mask file that cannot be written slice by slice.
        """
        for scan in dict.fromkeys(self._place(name)[0] for name in masks):
            own = {name: values for name, values in masks.items() if self._place(name)[0] == scan}
            self._write_scan(scan, own)
            self.labelled |= own.keys()
            self._note_empty(scan, own)

    def image_file(self, name: str) -> Path:
        """Return the file or folder of the volume of a slice.

        Raises:
            InputError: there is no slice of this name.
        """
        return self._scans[self._place(name)[0]].path

    def mask_file(self, name: str) -> Path:
        """Return the file of the mask of a slice's volume, which need not exist."""
        return self._scans[self._place(name)[0]].mask

    def scan(self, name: str) -> ScanFile:
        """Return a scan by its name."""
        return self._scans[name]

    def scan_of(self, name: str) -> str:
        """Return the name of the scan of a slice."""
        return self._place(name)[0]

    def scan_labels(self, name: str) -> np.ndarray | None:
        """Read the class values (X,Y,Z) of a scan's mask; None without a mask. The array must not be changed."""
        scan = self._scans[name]
        if not scan.mask.exists():
            self._labels.pop(name, None)
            return None
        stamp = file_stamp(scan.mask)
        with self._lock:
            if self.seen.get(name, [])[:2] != stamp:  # another program wrote it
                self._labels.pop(name, None)
            return _kept(self._labels, name, lambda: self._read_mask(name, stamp))

    def _places_of(self, paths: Mapping[str, Path]) -> dict[str, Volume]:
        """Read shapes and affines of volumes; note those that cannot be read."""
        places = {}
        for name, path in paths.items():
            try:
                places[name] = read_place(path)
            except InputError as error:
                self.problems[name] = str(error)
        if not places:
            raise InputError(next(iter(self.problems.values())))
        return places

    def _place(self, name: str) -> tuple[str, int]:
        if name not in self._places:
            raise InputError(f"{name!r}: there is no such image in {self.image_folder}")
        return self._places[name]

    def _read(self, name: str) -> np.ndarray:
        """Read the slices (D,H,W) of a scan as uint8, scaled by the window of the volume."""
        scan = self._scans[name]
        volume = read_volume(scan.path)
        low, high = volume_window(volume.voxels, volume.modality, volume.name)
        scale = 255 / (high - low) if high > low else 0.0
        slices = scan.planes.view(volume.voxels)
        shown = np.empty(slices.shape, np.uint8)
        for i, one in enumerate(slices):
            shown[i] = np.clip((one.astype(np.float32) - low) * scale, 0, 255).round()
        return shown

    def _read_mask(self, name: str, stamp: list[int]) -> np.ndarray:
        """Read the class values (X,Y,Z) of a scan's mask, and note them."""
        scan = self._scans[name]
        labels, names = read_label_volume(scan.mask, scan.place)
        self.class_names |= names
        self.seen[name] = [*stamp, *values_of(labels.voxels)]
        return labels.voxels

    def _write_scan(self, name: str, masks: Mapping[str, np.ndarray]) -> None:
        scan, before = self._scans[name], self.scan_labels(name)
        if before is not None and not scan.is_editable:
            raise InputError(
                f"{scan.mask}: only masks in one NIfTI, NRRD, MetaImage or TIFF file can be edited; save it as such a "
                "file, and remove this one"
            )
        most = max(int(np.max(values, initial=0)) for values in masks.values())
        wide = np.uint8 if most < 256 and (before is None or before.dtype == np.uint8) else np.uint16
        labels: np.ndarray = np.zeros(scan.place.shape, wide) if before is None else before.astype(wide)
        view = scan.planes.view(labels)
        for slice_, values in masks.items():
            index = self._place(slice_)[1]
            if values.shape != view[index].shape:
                raise InputError(f"{slice_}: the mask measures {values.shape}, the slice {view[index].shape}")
            view[index] = values
        if before is not None and np.array_equal(before, labels):
            return  # an unchanged mask stays byte for byte
        self.mask_folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(self.mask_folder) as unfinished:  # the name of a file sets its format
            write_label_volume(unfinished / scan.mask.name, labels, scan.place)
            (unfinished / scan.mask.name).replace(scan.mask)
        self.seen[name] = [*file_stamp(scan.mask), *values_of(labels)]
        with self._lock:
            self._labels.pop(name, None)
            _kept(self._labels, name, lambda: labels)

    def _note_empty(self, scan: str, masks: Mapping[str, np.ndarray]) -> None:
        """Note which slices were labelled as empty, since the mask of a volume cannot show it."""
        known = self._empty.setdefault(scan, set())
        before = set(known)
        for name, values in masks.items():
            (known.discard if values.any() else known.add)(self._place(name)[1])
        if known != before:
            numbers = {name: sorted(own) for name, own in self._empty.items()}
            EmptySlices(self.axis, numbers).write(self._folder)

    def _open_masks(self, session: Session) -> None:
        """Read masks that changed since the last session; their slices with a label count as labelled."""
        for name, scan in self._scans.items():
            if not scan.mask.exists():
                self.labelled -= set(self.scans[name])
                continue
            known = session.masks.get(name)
            if known is not None and list(known[:2]) == file_stamp(scan.mask):
                self.seen[name] = list(known)
            else:
                try:
                    labels = self.scan_labels(name)
                except InputError as error:
                    self.problems[name] = str(error)
                    continue
                if labels is not None:
                    shown = scan.planes.view(labels).any(axis=(1, 2))
                    self.labelled |= {self.scans[name][i] for i in np.flatnonzero(shown)}
            self.values |= set(self.seen[name][2:])
        self.labelled &= set(self.names)


def _checked_axis(folder: Path, axis: str, before: str) -> str:
    if axis and before and axis != before:
        raise InputError(f"{folder}: its slices were labelled along the {before} axis; leave --axis {axis} out")
    return axis or before


def _kept(cache: OrderedDict[str, np.ndarray], name: str, read: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array of a small cache; the array that was used least recently leaves it."""
    if name not in cache:
        cache[name] = read()
    cache.move_to_end(name)
    while len(cache) > KEPT:
        cache.popitem(last=False)
    return cache[name]
