"""Files of volumes: list them, and read and write one of any format.

NIfTI (.nii, .nii.gz), NRRD and MetaImage (.nrrd, .nhdr, .mha, .mhd), multi-page TIFF, and DICOM series, which are
folders or multi-frame files.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from universeg_jax.errors import InputError, SegmentationWarning, listing
from universeg_jax.io import itk, nifti, tiff
from universeg_jax.io.dicom import is_dicom, read_frames
from universeg_jax.io.dicom_masks import read_series_masks
from universeg_jax.io.dicom_series import Series, list_series, series_files
from universeg_jax.io.task_folder import SYSTEM_FILES
from universeg_jax.io.volumes import Volume, class_labels, place_on, values_of
from universeg_jax.util.checks import check_file_names
from universeg_jax.util.files import check_regular

ENDINGS = (*nifti.ENDINGS, *itk.ENDINGS)
"""Endings that only volumes have."""

_ENDING = re.compile(
    r"(\.seg)?(\.nii|\.nii\.gz|\.nrrd|\.nhdr|\.mhd|\.mha|\.tiff?|\.dcm|\.dicom|\.ima)$", flags=re.IGNORECASE
)


def volume_name(path: Path) -> str:
    """Return the name of a volume: of a file without its ending, or of a folder."""
    if path.is_dir():
        return path.name
    return _ENDING.sub("", path.name)


def is_series(path: Path) -> bool:
    """Tell whether a path is a DICOM file or a folder of DICOM slices."""
    return any(is_dicom(file) for file in series_files(path)[:1])


def is_volume(path: Path) -> bool:
    """Tell by ending or first bytes whether a file is a volume, or a folder holds the DICOM slices of one."""
    if path.is_dir():
        return is_series(path)
    name = path.name.lower()
    return name.endswith(ENDINGS) or tiff.is_stack(path) or is_dicom(path)


def list_volume_files(folder: Path) -> dict[str, Path]:
    """Find the NIfTI, NRRD and MetaImage files of a folder by name without ending, hidden ones left out.

    Returns:
        Sorted by name; {} without the folder.

    Raises:
        InputError: two files of one name, such as a.nii and a.nii.gz; something else than a file, such as a pipe.
    """
    found: dict[str, Path] = {}
    check_file_names(folder.iterdir() if folder.is_dir() else ())
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not file.is_dir() and file.name[0] != "." and file.name.lower().endswith(ENDINGS):
            check_regular(file)
            _add(found, volume_name(file), file)
    return dict(sorted(found.items()))


def list_volumes(folder: Path) -> dict[str, Path]:
    """Find the volumes of a folder by name without ending: files, and folders of DICOM slices; hidden ones left out.

    Returns:
        Sorted by name; {} without the folder. DICOM files that lie in the folder itself are one series, named after the
        folder.

    Raises:
        InputError: two volumes of one name; something else than a file or a folder, such as a pipe.
    """
    if not folder.is_dir():
        return {}
    check_file_names(folder.iterdir())
    found: dict[str, Path] = {}
    slices = [file for file in series_files(folder) if is_dicom(file)]
    entries = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.name.lower() not in SYSTEM_FILES)
    if len(slices) > 1 and not _several_frames(slices[0]):
        found[folder.resolve().name] = folder
        entries = [path for path in entries if path not in slices]
    for path in entries:
        if not path.is_dir():
            check_regular(path)
        volumes = [(volume_name(path), path)] if path.is_file() and is_volume(path) else []
        if path.is_dir():
            series = list_series(path)
            names = [path.name] if len(series) == 1 else [f"{path.name}_{name}" for name in series]
            volumes = [(name, _place(files)) for name, files in zip(names, series.values(), strict=True)]
        for name, volume in volumes:
            _add(found, name, volume)
    return dict(sorted(found.items()))


def read_volume(path: Path | str, *, channel: int | None = None) -> Volume:
    """Read one volume: a file, or a folder of DICOM slices.

    Args:
        channel: index of the channel to read; None refuses volumes with channels.

    Raises:
        InputError: no such file, no volume, damage, channels without `channel`.
    """
    volume = read_channels(Path(path))
    if channel is None and volume.voxels.ndim == 4:
        raise InputError(
            f"{path}: has the shape {volume.voxels.shape}, so {volume.voxels.shape[3]} values per voxel; choose one "
            "with --channel, counted from 0"
        )
    return volume.channel(channel or 0)


def read_channels(path: Path) -> Volume:
    """Read one volume with all of its channels, (X,Y,Z) or (X,Y,Z,C).

    Raises:
        InputError: no such file, no volume, or damage.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    name = path.name.lower()
    if path.is_file() and name.endswith(nifti.ENDINGS):
        return nifti.read_nifti(path)
    if path.is_file() and name.endswith(itk.ENDINGS):
        return itk.read_itk(path)
    if path.is_file() and name.endswith(tiff.ENDINGS):
        return tiff.read_stack(path)
    files = series_files(path)
    if not files or not is_dicom(files[0]):
        raise InputError(f"{path}: is no volume; NIfTI, NRRD, MetaImage, multi-page TIFF and DICOM series are read")
    return Series(files).volume()


def read_place(path: Path) -> Volume:
    """Read shape and affine of a volume; its voxels become zeros without memory. Most formats need no voxels read.

    Raises:
        InputError: no such file, no volume, damage, or several values per voxel.
    """
    name = path.name.lower()
    if path.is_file() and name.endswith(nifti.ENDINGS):
        place = nifti.read_place(path)
    elif path.is_dir() or not name.endswith((*itk.ENDINGS, *tiff.ENDINGS)):
        files = series_files(path) if path.exists() else []
        if not files or not is_dicom(files[0]):
            return read_channels(path)  # raises the error
        series = Series(files)
        shape = (*series.frames[0].shape, len(series.frames))
        place = Volume(series.name, np.broadcast_to(np.uint8(0), shape), series.affine(), series.modality)
    else:
        volume = read_channels(path)
        place = replace(volume, voxels=np.broadcast_to(np.uint8(0), volume.voxels.shape))
    if place.voxels.ndim != 3:
        raise InputError(f"{path}: has {place.voxels.shape[3]} values per voxel; one is needed: save one channel alone")
    return place


def structure_names(path: Path) -> list[str]:
    """List the structures of a folder with one file per structure, sorted; [] of any other mask."""
    if not path.is_dir():
        return []
    return sorted(volume_name(file) for file in series_files(path) if file.name.lower().endswith(ENDINGS))


def read_label_volume(path: Path, image: Volume, *, structures: Sequence[str] = ()) -> tuple[Volume, dict[int, str]]:
    """Read the mask of a volume onto its voxels.

    Args:
        path: a volume of class values; a DICOM SEG; or a folder with one file per structure.
        image: the volume that the mask is of.
        structures: names that number the classes of one file per structure from 1; by default the names in this folder.
            Masks of one task must be read by one list.

    Returns:
        Class values (X,Y,Z) as small unsigned integers, and the names that the mask gives its classes.

    Raises:
        InputError: files that cannot be read, values that are no classes, voxels that do not lie on the image's.
    """
    if own := structure_names(path):
        return _read_structures(path, list(structures) or own, image)
    if path.is_dir() or is_dicom(path):
        return read_series_masks(path, image)
    mask = class_labels(read_channels(path))
    cropped = path.name.lower().endswith(".seg.nrrd")  # 3D Slicer stores the box around the segments
    names = itk.segment_names(path) if path.name.lower().endswith(itk.ENDINGS) else {}
    return place_on(mask, image, cropped=cropped), names


def write_label_volume(file: Path, labels: np.ndarray, like: Volume) -> None:
    """Write class values (X,Y,Z) with the geometry of a volume; the ending of the file sets the format.

    Raises:
        InputError: a geometry that the format cannot hold.
    """
    labels = labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16, copy=False)
    name = file.name.lower()
    if name.endswith(nifti.ENDINGS):
        nifti.write_nifti(file, labels, like)
    elif name.endswith(itk.ENDINGS):
        itk.write_itk(file, labels, like)
    else:
        tiff.write_stack(file, labels, like)


def output_ending(path: Path) -> str:
    """Return the ending of the mask of a volume: its own format, or .nii.gz for DICOM."""
    name = path.name.lower()
    if path.is_dir() or not name.endswith((*ENDINGS, *tiff.ENDINGS)):
        return ".nii.gz"
    ending = next(ending for ending in (*ENDINGS, *tiff.ENDINGS) if name.endswith(ending))
    return {".nhdr": ".nrrd", ".mhd": ".mha", ".tiff": ".tif"}.get(ending, ending)


def _read_structures(folder: Path, names: Sequence[str], image: Volume) -> tuple[Volume, dict[int, str]]:
    """Read one file per structure, as TotalSegmentator writes them. Voxels that are not 0 belong to it."""
    if len(names) > 255:
        raise InputError(f"{folder}: holds {len(names)} structures; at most 255 are read")
    labels: np.ndarray = np.zeros(image.shape, np.uint8)
    overlap = 0
    for file in (file for file in series_files(folder) if file.name.lower().endswith(ENDINGS)):
        own = place_on(class_labels(read_channels(file)), image).voxels
        values = [value for value in values_of(own) if value]
        if len(values) > 1:
            raise InputError(f"{file}: holds the values {values}; a file of one structure holds 0 and one value")
        overlap += int(np.count_nonzero((own > 0) & (labels > 0)))
        labels[own > 0] = 1 + names.index(volume_name(file))
    if overlap:
        warnings.warn(
            f"{folder}: structures overlap in {overlap} voxels; the later name wins ({listing(names)})",
            SegmentationWarning,
            stacklevel=3,
        )
    return Volume(str(folder), labels, image.affine), dict(enumerate(names, 1))


def _several_frames(file: Path) -> bool:
    return len(read_frames([file])) > 1


def _place(files: list[Path]) -> Path:
    return files[0] if len(files) == 1 else files[0].parent


def _add(found: dict[str, Path], name: str, path: Path) -> None:
    other = found.setdefault(name, path)
    if other is not path:
        raise InputError(f"{path.parent}: {other.name} and {path.name} have one name; rename or remove one of them")
