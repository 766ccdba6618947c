"""Files of a folder that is being labelled: pictures with their masks, and volumes."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from universeg_jax.app.pictures import whole_in_new_folder
from universeg_jax.app.states import Session, file_stamp
from universeg_jax.errors import InputError, listing
from universeg_jax.io import itk, tiff
from universeg_jax.io.dicom_series import series_files
from universeg_jax.io.masks import GreyCoding, Mask, MaskCoding, common_coding, read_mask, values_in, write_mask
from universeg_jax.io.pictures import EXTENSIONS, read_image
from universeg_jax.io.task_folder import check_same_size, list_pictures
from universeg_jax.io.volume_files import ENDINGS
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.planes import Planes


class PictureFiles:
    """Pictures and their masks on disk.

    Args:
        folder: it holds images/, or the pictures themselves; masks lie in masks/.
        session: state of an earlier session.

    Attributes:
        names: names of the pictures, sorted.
        scans: {}, since pictures are no slices.
        axis: "", since pictures have no axis.
        coding: coding of the masks.
        values: class values in the masks.
        class_names: {}, since pictures give their classes no names.
        labelled: names of pictures that have a mask.
        seen: size, time and class values of each mask file when it was read last.
        problems: reasons why masks cannot be read, by the name of their picture.

    Raises:
        InputError: no pictures, links out of the folder, masks of no picture, or masks that do not go together.
    """

    def __init__(self, folder: Path, session: Session):
        self.image_folder = folder / "images" if (folder / "images").is_dir() else folder
        self.mask_folder = folder / "masks"
        self._images = list_pictures(self.image_folder, but=("masks", "classes.json"))
        check_inside(self.image_folder, self._images.values())
        self.names = list(self._images)
        self.scans: dict[str, list[str]] = {}
        self.axis = ""
        self.class_names: dict[int, str] = {}
        self.seen = dict(session.masks)
        self.coding: MaskCoding = GreyCoding()
        self.values: set[int] = set()
        self.problems: dict[str, str] = {}
        self._masks: dict[str, Path] = {}
        if self.mask_folder.is_dir() and any(file.name[0] != "." for file in self.mask_folder.iterdir()):
            self._open_masks()
        self.labelled = set(self._masks)

    def image(self, name: str) -> np.ndarray:
        """Read a picture (H,W) or (H,W,3) in its own dtype."""
        return read_image(self.image_file(name))

    def scan_of(self, name: str) -> str:
        """Return the name itself: each picture stands for its own scan."""
        return name

    def glance(self, name: str) -> np.ndarray:
        """Read a picture for a thumbnail."""
        return self.image(name)

    def stamp(self, name: str) -> list:
        """Return values that change when the file of a picture changes."""
        return [name, *file_stamp(self.image_file(name))]

    def mask(self, name: str) -> np.ndarray | None:
        """Read the class values (H,W) of a picture's mask; None if there is none."""
        file = self.mask_file(name)
        return values_in(read_mask(file), self.coding) if file.exists() else None

    def token(self, name: str) -> str:
        """Return what identifies the content of a picture's mask; "" without a mask."""
        file = self.mask_file(name)
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""

    def write(self, masks: Mapping[str, np.ndarray]) -> None:
        """Write masks, each whole or not at all. An unchanged mask stays byte for byte.

        Raises:
            InputError: another size than the picture, or a mask file that is not PNG.
        """
        for name, values in masks.items():
            file = self.mask_file(name)
            check_same_size(file, values, self.image_file(name), self.image(name))
            if file.exists() and file.suffix.lower() != ".png":
                raise InputError(f"{file}: only PNG masks can be edited; save it as PNG and remove this file")
            old = self.mask(name)
            if old is None or not np.array_equal(old, values):
                coding = self.coding
                if isinstance(coding, GreyCoding):
                    coding = GreyCoding(wide=coding.wide or bool(values.max(initial=0) > 255))
                with whole_in_new_folder(file) as part:
                    write_mask(part, values, coding)
                self._masks[name] = file
                if isinstance(coding, GreyCoding):
                    self.seen[name] = [*file_stamp(file), *_distinct(values).tolist()]
            self.labelled.add(name)

    def image_file(self, name: str) -> Path:
        """Return the file of a picture.

        Raises:
            InputError: there is no picture of this name.
        """
        if name not in self._images:
            raise InputError(f"{name!r}: there is no such image in {self.image_folder}")
        return self._images[name]

    def mask_file(self, name: str) -> Path:
        """Return the file of a picture's mask, which need not exist."""
        self.image_file(name)  # refuses names that are no picture
        known = self._masks.get(name)
        return known if known is not None and known.exists() else self.mask_folder / f"{name}.png"

    def _open_masks(self) -> None:
        """Find the masks that are there, their coding and their classes."""
        self._masks = list_pictures(self.mask_folder)
        check_inside(self.mask_folder, self._masks.values())
        lonely = sorted(self._masks.keys() - self._images.keys())
        if lonely:
            raise InputError(f"{self.mask_folder}: no image for {', '.join(lonely[:5])}; remove or rename the mask")
        if self._unchanged():
            self.values = set().union(*(about[2:] for about in self.seen.values()))
            return
        with ThreadPoolExecutor() as pool:  # most of the time is spent in decoders, which let other threads run
            read = dict(zip(self._masks, pool.map(_read_values, self._masks.values()), strict=True))
        self.problems = {name: mask for name, mask in read.items() if isinstance(mask, str)}
        masks = {name: mask for name, mask in read.items() if not isinstance(mask, str)}
        if masks:
            self.coding = common_coding(list(masks.values()))
        found = {name: np.unique(values_in(mask, self.coding)).tolist() for name, mask in masks.items()}
        self.values = set().union(*found.values())
        if isinstance(self.coding, GreyCoding):
            self.seen = {name: [*file_stamp(self._masks[name]), *values] for name, values in found.items()}

    def _unchanged(self) -> bool:
        """Tell whether all masks are as they were when they were read last."""
        if self.seen.keys() != self._masks.keys():
            return False
        return all(self.seen[name][:2] == file_stamp(file) for name, file in self._masks.items())


def _read_values(file: Path) -> Mask | str:
    """Read a mask, but keep only its distinct values to save memory. Return an error as text."""
    try:
        mask = read_mask(file)
    except InputError as error:
        return str(error)
    return replace(mask, values=_distinct(mask.values))


def _distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values of a mask, ascending; faster than `np.unique` where values are small."""
    if values.max(initial=0) > 65535:
        return np.unique(values)
    return np.flatnonzero(np.bincount(values.ravel())).astype(np.int32)


def check_inside(folder: Path, files) -> None:
    """Refuse links that lead out of a folder.

    Raises:
        InputError: it names the link.
    """
    inside = folder.resolve()
    for file in files:
        if file.is_symlink() and not file.resolve().is_relative_to(inside):
            raise InputError(f"{file}: is a link to a file outside of {folder}; copy the file into the folder")


@dataclass(frozen=True, eq=False)
class ScanFile:
    """One volume.

    Attributes:
        path: its file, or the folder of a DICOM series.
        mask: file of its mask, which need not exist.
        place: its shape and affine, without voxels.
        planes: how it is cut into slices.
    """

    path: Path
    mask: Path
    place: Volume
    planes: Planes

    @property
    def slices(self) -> int:
        """Number of its slices."""
        return len(self.planes.view(self.place.voxels))

    @property
    def is_editable(self) -> bool:
        """True if its mask is a single file that can be replaced."""
        name = self.mask.name.lower()
        return self.mask.is_file() and name.endswith((*ENDINGS, *tiff.ENDINGS)) and not name.endswith(itk.DETACHED)


def check_files(folder: Path, paths: Mapping[str, Path]) -> None:
    """Refuse links out of the folder, and pictures among volumes."""
    for path in paths.values():
        if path == folder and folder.name not in ("images", "imagesTr"):
            raise InputError(f"{folder}: its DICOM files lie in the folder itself; move them to {folder / 'images'}")
        check_inside(folder, [path, *(series_files(path) if path.is_dir() else [])])
    volumes = set(paths.values())
    pictures = [
        file.name
        for file in sorted(folder.iterdir())
        if file.name[0] != "." and file.suffix.lower() in EXTENSIONS and file not in volumes
    ]
    if pictures:
        raise InputError(
            f"{folder}: holds volumes and the pictures {listing(pictures)}; move the pictures to a folder of their own"
        )
