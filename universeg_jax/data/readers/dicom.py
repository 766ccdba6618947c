"""DICOM series with masks.

SOURCE/images/a/*          one series per folder, a CT or MR volume, its slices in one file each or in a multi-frame
                           one; or images/a.dcm, which may be a single picture; or images/patient/series/*
SOURCE/masks/a.nii.gz      a mask in the place of the series, NRRD or MetaImage too; or
SOURCE/masks/a/*.dcm       a parallel series with the class values, matched by position; or
SOURCE/masks/a.dcm         a DICOM segmentation (SEG) of the series, which names its classes; or
SOURCE/masks/a/*.png       one mask per DICOM file, of the same name or number; masks/a.png for a single picture

Masks of images/patient/series are masks/patient/series or masks/patient_series; or masks/patient, if there is one
series. SOURCE/classes.json may name the classes: {"1": "liver"}. RTSTRUCT holds contours and is not read.
"""

from functools import partial
from pathlib import Path

from universeg_jax.data.readers.source import Item, Scan, Source, pair_up, volume_scan
from universeg_jax.errors import InputError
from universeg_jax.io.dicom import is_dicom
from universeg_jax.io.dicom_series import Series, list_series
from universeg_jax.io.masks import read_mask
from universeg_jax.io.task_folder import read_class_names
from universeg_jax.io.volume_files import read_label_volume, volume_name
from universeg_jax.util.checks import is_number


def matches(folder: Path) -> bool:
    """Tell whether a DICOM file lies in images/ or up to two folders below it."""
    patterns = ("*", "*/*", "*/*/*")
    files = (file for pattern in patterns for file in sorted((folder / "images").glob(pattern)) if file.is_file())
    return any(is_dicom(file) for file, _ in zip(files, range(8), strict=False))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """List the series of a folder with their masks; every series counts as a subject.

    Raises:
        InputError: no masks/ folder, or a classes.json that is no table of names.
    """
    if not (folder / "masks").is_dir():
        raise InputError(f"{folder}: needs a folder masks/ next to images/")
    masks = {_stem(path): path for path in _entries(folder / "masks")}
    images: dict[str, tuple[Path, ...]] = {}
    for path in _entries(folder / "images"):
        series = list_series(path)
        for name, files in series.items():
            own = path.name if path.is_dir() and len(series) == 1 else f"{path.name}_{name}" if path.is_dir() else name
            images[own] = tuple(files)
            nested = masks.get(path.name)
            if own not in masks and nested is not None and nested.is_dir():
                found = [entry for entry in _entries(nested) if _stem(entry) == name]
                masks |= {own: found[0]} if found else {}
        if len(series) > 1 and all(f"{path.name}_{name}" in masks for name in series):
            masks.pop(path.name, None)  # the folder of the patient's masks
    names = {int(value): name for value, name in read_class_names(folder / "classes.json").items() if is_number(value)}
    reader = partial(read_series, modality=modality, class_names=names)
    items = pair_up(images, masks)
    return [Source(folder.resolve().name, "dicom", folder, items, reader, subjects_known=True)]


def read_series(item: Item, *, modality: str | None, class_names: dict[int, str]) -> list[Scan]:
    """Read one series and its mask. `modality` None takes the modality that the series names."""
    *files, mask_path = item.files
    series = Series(files)
    modality = modality or series.modality
    if len(series.frames) == 1:
        return [Scan(series.pixels()[:, :, 0], read_mask(mask_path).values, class_names, modality)]
    image = series.volume()
    mask, own_names = read_label_volume(mask_path, image)
    return [volume_scan(image, mask, own_names | class_names, modality)]


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name[0] != ".")


def _stem(path: Path) -> str:
    name = volume_name(path)
    return name if path.is_dir() or name != path.name else path.stem
