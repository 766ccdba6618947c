"""Pack what was labelled into one zip file: masks, names of classes, states, and an overview to look at."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from universeg_jax.app.scan_slices import ScanSlices
from universeg_jax.app.states import LABELLED
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.io.dicom_masks import write_segmentation
from universeg_jax.io.dicom_series import Series, series_files
from universeg_jax.io.nifti import ENDINGS, write_nifti
from universeg_jax.io.overview import write_overview
from universeg_jax.io.pairing import EMPTY_SLICES
from universeg_jax.io.sheet import Result, Section
from universeg_jax.io.volume_files import is_series

SHOWN = 24  # images on the overview


def export_zip(workspace: Workspace, folder: Path) -> tuple[Path, list[str]]:
    """Write NAME.zip into a folder; return its path, and the reasons for everything left out.

    For pictures, the zip holds all images with a saved mask, and these masks. Unpacked, it is a support folder. For
    volumes, the zip holds the masks as NIfTI. The mask of a DICOM series is also there as DICOM SEG.

    Raises:
        InputError: no mask is saved.
    """
    saved = [name for name in workspace.names if workspace.state(name) in LABELLED]
    if not saved:
        raise InputError(f"{workspace.folder}: no mask is saved yet; confirm an image first")
    shown = [saved[i] for i in np.unique(np.linspace(0, len(saved) - 1, min(len(saved), SHOWN)).astype(int))]
    masks = ((name, workspace.mask(name)) for name in shown)
    results = [Result(name, workspace.image(name), mask) for name, mask in masks if mask is not None]
    unit = "slices" if workspace.scans else "images"
    note = f"{len(workspace.confirmed())} of {len(workspace.names)} {unit} confirmed"
    title = workspace.folder.resolve().name
    write_overview(folder / "overview.png", [Section(title, note, workspace.classes, [], results)])
    states = {name: {"state": workspace.state(name).value, "forecast": workspace.forecast(name)} for name in saved}
    file = folder / f"{title or 'labels'}.zip"
    problems: list[str] = []
    if isinstance(workspace.files, ScanSlices):
        files = _volume_files(workspace, workspace.files, saved, folder, problems)
    else:
        files = _picture_files(workspace, saved)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, name in files:
            packed.write(path, name)
        for name in ("classes.json", EMPTY_SLICES):
            if (workspace.folder / name).is_file():
                packed.write(workspace.folder / name, name)
        packed.write(folder / "overview.png", "overview.png")
        packed.writestr("states.json", json.dumps(states, indent=1, ensure_ascii=False))
    return file, problems


def _picture_files(workspace: Workspace, saved: list[str]) -> Iterator[tuple[Path, str]]:
    """Yield images and masks, and their names in the zip."""
    for name in saved:
        for kind, path in (
            ("images", workspace.files.image_file(name)),
            ("masks", workspace.files.mask_file(name)),
        ):
            yield path, f"{kind}/{path.name}"


def _volume_files(
    workspace: Workspace, files: ScanSlices, saved: list[str], folder: Path, problems: list[str]
) -> Iterator[tuple[Path, str]]:
    """Yield masks as NIfTI and DICOM SEG, and their names in the zip. Failures are added to `problems`."""
    for name in dict.fromkeys(files.scan_of(one) for one in saved):
        scan, labels = files.scan(name), files.scan_labels(name)
        if labels is None:
            continue
        if scan.mask.is_file() and scan.mask.name.lower().endswith(ENDINGS):
            yield scan.mask, f"masks/{scan.mask.name}"
        else:
            part = folder / "mask.nii.gz"
            write_nifti(part, labels, scan.place)
            yield part, f"masks/{name}.nii.gz"
        if is_series(scan.path) and labels.any():
            part = folder / "segmentation.dcm"
            found = {value: text for value, text in workspace.classes.items() if (labels == value).any()}
            try:
                write_segmentation(part, labels, Series(series_files(scan.path)), found)
            except InputError as error:  # a poor header; the NIfTI mask is there
                problems.append(str(error))
            else:
                yield part, f"dicom-seg/{name}.dcm"
