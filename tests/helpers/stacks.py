"""Small synthetic scans with two organs, for tests of the few-shot protocol."""

import nibabel
import numpy as np

from universeg_jax.data.stacks import OrganSlices, SliceStack

NAMES = {1: "ball", 2: "rod"}


def stack(name: str, *, seed: int = 0, size: int = 16, depth: int = 9) -> SliceStack:
    """A bright ball and a dark rod in noise."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((depth, size, size))
    centre = size / 2 + rng.uniform(-1, 1, 2)
    ball = ((z - depth // 2) * 1.2) ** 2 + (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= (size / 4) ** 2
    rod = (abs(y - 2) <= 1) & (abs(x - size + 4) <= 1) & (z > 1)
    labels = np.where(rod, 2, ball).astype(np.int32)
    images = 0.5 + 0.4 * (labels == 1) - 0.4 * (labels == 2) + rng.normal(0, 0.02, labels.shape)
    return SliceStack(name, np.clip(images, 0, 1).astype(np.float32), labels, NAMES, (2.0, 1.0, 1.0))


def write_alpnet(folder, stacks) -> None:
    """Write scans as image_NAME.nii.gz and label_NAME.nii.gz, so that axial slices of them read the same."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in stacks:
        affine = np.diag([1.0, 1.0, 2.0, 1.0])
        for kind, volume in (("image", np.round(1000 * one.images).astype(np.int16)), ("label", one.labels)):
            voxels = volume.transpose(2, 1, 0)[::-1, ::-1].astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / f"{kind}_{one.name}.nii.gz")


class Intensity:
    """A method that takes pixels of about the organ's mean intensity in the support."""

    name = "intensity"
    identity = "intensity 1"

    def __init__(self):
        self.calls = 0

    def segment(self, support: OrganSlices, query: OrganSlices) -> np.ndarray:
        self.calls += 1
        mean = support.images[support.masks].mean()
        return (np.abs(query.images - mean) < 0.15).astype(np.float32)
