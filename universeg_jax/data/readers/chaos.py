"""Read the T2-SPIR MR scans of the CHAOS challenge, as distributed.

SOURCE/MR/ID/T2SPIR/DICOM_anon/*.dcm    a volume for each patient; SOURCE may also be the folder above or MR itself
SOURCE/MR/ID/T2SPIR/Ground/*.png        its masks, one for each DICOM file, of the same name
"""

from functools import partial
from pathlib import Path

from universeg_jax.data.readers.dicom import read_series
from universeg_jax.data.readers.source import Item, Source

ORGANS = {63: "liver", 126: "right kidney", 189: "left kidney", 252: "spleen"}
"""Organs by the grey value of the masks."""


def matches(folder: Path) -> bool:
    """Tell whether the folder holds T2SPIR scans with masks."""
    return any((patient / "Ground").is_dir() for patient in _patients(folder))


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Return the dataset of the folder. Every patient has one scan."""
    items = []
    for scan in _patients(folder):
        name, files = scan.parent.name, sorted((scan / "DICOM_anon").glob("*.dcm"))
        if not files:
            items.append(Item(name, name, (scan,), problem=f"{scan / 'DICOM_anon'}: holds no .dcm files"))
        elif not (scan / "Ground").is_dir():
            items.append(Item(name, name, tuple(files), problem=f"{scan}: there is no folder Ground of masks"))
        else:
            items.append(Item(name, name, (*files, scan / "Ground")))
    return [
        Source(
            "chaos_t2spir",
            "chaos",
            folder,
            tuple(items),
            partial(read_series, modality=modality or "MR", class_names=ORGANS),
            subjects_known=True,
            origin="doi:10.5281/zenodo.3362844",
            licence="CC BY-NC-SA 4.0",
        )
    ]


def _patients(folder: Path) -> list[Path]:
    """Return the T2SPIR folders of all patients."""
    for pattern in ("*/T2SPIR", "MR/*/T2SPIR", "*/MR/*/T2SPIR"):
        if found := sorted(path for path in folder.glob(pattern) if path.is_dir()):
            return found
    return []
