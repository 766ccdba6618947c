"""One volume of a folder that is being labelled, and checks of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from universeg_jax.app.picture_files import check_inside
from universeg_jax.errors import InputError, listing
from universeg_jax.io import itk, tiff
from universeg_jax.io.dicom_series import series_files
from universeg_jax.io.pictures import EXTENSIONS
from universeg_jax.io.volume_files import ENDINGS
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.planes import Planes


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
        """Whether its mask is one file that can be replaced."""
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
