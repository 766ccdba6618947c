"""TotalSegmentator: CT or MR volumes with one mask file per structure (Wasserthal et al., Radiology: AI 2023).

SOURCE/s0001/ct.nii.gz (or mri.nii.gz)
SOURCE/s0001/segmentations/liver.nii.gz spleen.nii.gz ...
"""

from functools import partial
from pathlib import Path

from universeg_jax.data.readers.source import Item, Scan, Source, volume_scan
from universeg_jax.io.volume_files import list_volume_files, read_label_volume, read_volume, volume_name

IMAGES = {"ct": "CT", "mri": "MR", "mr": "MR"}
SEGMENTATIONS = "segmentations"


def matches(folder: Path) -> bool:
    """Tell whether subjects with a folder of structures are here."""
    return bool(_subjects(folder))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Find the dataset. The structures of all subjects, sorted by name, are its classes.

    Raises:
        InputError: two files of one structure in a subject.
    """
    structures = {subject: list_volume_files(subject / SEGMENTATIONS) for subject in _subjects(folder)}
    names = dict(enumerate(sorted(set().union(*structures.values())), start=1))
    return [
        Source(
            folder.resolve().name,
            "totalsegmentator",
            folder,
            tuple(_item(subject, files) for subject, files in structures.items()),
            partial(_read, class_names=names, modality=modality),
            subjects_known=True,
            origin="https://zenodo.org/records/10047292",
            licence="CC BY 4.0",
        )
    ]


def _subjects(folder: Path) -> list[Path]:
    return sorted(place.parent for place in folder.glob(f"*/{SEGMENTATIONS}") if list_volume_files(place))


def _item(subject: Path, structures: dict[str, Path]) -> Item:
    images = [file for name, file in list_volume_files(subject).items() if name in IMAGES]
    problem = "" if len(images) == 1 else f"{subject}: needs one volume ct.nii.gz or mri.nii.gz; it has {len(images)}"
    return Item(subject.name, subject.name, (*images, *structures.values()), problem=problem)


def _read(item: Item, *, class_names: dict[int, str], modality: str | None) -> list[Scan]:
    image_file, *mask_files = item.files
    image = read_volume(image_file)
    mask, _ = read_label_volume(mask_files[0].parent, image, structures=list(class_names.values()))
    return [volume_scan(image, mask, class_names, modality or IMAGES[volume_name(image_file)])]
