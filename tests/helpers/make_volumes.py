"""A small task of volumes on disk: a bright ball next to a half-bright one, in scans of several orientations."""

from pathlib import Path

import nibabel
import numpy as np

from tests.helpers.make_sources import ball, nifti

SHAPE = (20, 24, 10)
SPACING = (1.0, 1.0, 3.0)


def scene(number: int, values=(1, 2)) -> tuple[np.ndarray, np.ndarray]:
    """Image (X,Y,Z) int16 and labels uint8 of one scan, axes to the right, front and head."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, x in zip(values, (5, 14), strict=True):
        labels[ball((20, 24, 10), centre=(x, 11 + number % 3, 5), radius=3.5)] = value
    image = np.where(labels == values[-1], 500, np.where(labels == values[0], 1000, 20)).astype(np.int16)
    return image + np.random.default_rng(number).integers(0, 20, SHAPE).astype(np.int16), labels


def affine(turn: str = "RAS") -> np.ndarray:
    """An affine whose axes run in the directions of `turn`, such as LPS."""
    upright = np.diag([*SPACING, 1.0])
    upright[:3, 3] = (-12, 7, 30)
    codes = nibabel.orientations.axcodes2ornt(turn)
    return upright @ nibabel.orientations.inv_ornt_aff(
        nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), codes), SHAPE
    )


def turned(voxels: np.ndarray, turn: str) -> np.ndarray:
    """Voxels stored with axes in the directions of `turn`."""
    moves = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(turn)
    )
    return nibabel.orientations.apply_orientation(voxels, moves)


def write_volumes(folder: Path, *, support: int = 2, targets: int = 2, turns=("RAS", "LPS")) -> Path:
    """support/images, support/masks, scans/ and labels/ as NIfTI; the scans are turned in other ways."""
    for i in range(support):
        image, labels = scene(i)
        nifti(folder / "support" / "images" / f"s{i}.nii.gz", image, affine=affine())
        nifti(folder / "support" / "masks" / f"s{i}.nii.gz", labels, affine=affine())
    for i in range(targets):
        image, labels = scene(10 + i)
        turn = turns[i % len(turns)]
        nifti(folder / "scans" / f"t{i}.nii.gz", turned(image, turn), affine=affine(turn))
        nifti(folder / "labels" / f"t{i}.nii.gz", turned(labels, turn), affine=affine(turn))
    return folder
