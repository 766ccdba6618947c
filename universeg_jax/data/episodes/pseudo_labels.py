"""Segment scans into superpixels or supervoxels, as labels for training without annotations.

Ouyang et al. (ECCV 2020) train few-shot segmentation on superpixels by Felzenszwalb and Huttenlocher's method. Labels
are computed once for each scan and kept in a folder.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from universeg_jax.data.stacks import SliceStack
from universeg_jax.errors import InputError
from universeg_jax.shapes import Bool, Float, Int
from universeg_jax.util.checks import check_kind, check_numbers
from universeg_jax.util.files import whole_file


@dataclass(frozen=True)
class PseudoLabelConfig:
    """Options of pseudo-labels.

    Attributes:
        scale, sigma, min_size: of `skimage.segmentation.felzenszwalb`, for intensities from 0 to 255. A larger scale
            gives larger superpixels; sigma is in pixels, min_size in pixels.
        supervoxels: segment the whole scan in 3-D instead of each slice.
        supervoxel_volume: mean volume of a supervoxel, in millilitres.
        foreground: intensity in [0,1] above which a voxel may show the patient.

    Raises:
        InputError: a value is out of range.
    """

    scale: float = 1.0
    sigma: float = 1.0
    min_size: int = 400
    supervoxels: bool = False
    supervoxel_volume: float = 40.0
    foreground: float = 0.1

    def __post_init__(self):
        check_numbers(self, "scale", "supervoxel_volume", above=0)
        check_numbers(self, "sigma", least=0)
        check_numbers(self, "min_size", least=1, whole=True)
        check_numbers(self, "foreground", least=0, below=1)
        check_kind(self, "supervoxels", bool)


def foreground_mask(images: Float[np.ndarray, "D H W"], threshold: float) -> Bool[np.ndarray, "D H W"]:
    """Return the largest connected body above a threshold in each slice, with its holes filled."""
    masks = np.zeros(images.shape, bool)
    for mask, image in zip(masks, images, strict=True):
        found, number = ndimage.label(image > threshold)
        if number:
            largest = 1 + np.bincount(found.ravel())[1:].argmax()
            mask[...] = ndimage.binary_fill_holes(found == largest)
    return masks


def pseudo_labels(stack: SliceStack, config: PseudoLabelConfig) -> Int[np.ndarray, "D H W"]:
    """Segment a scan into superpixels of each slice, or into supervoxels.

    Returns:
        Numbers of the superpixels from 1, and 0 outside the patient. Superpixels have numbers of their own in each
        slice; supervoxels keep theirs over slices.
    """
    inside = foreground_mask(stack.images, config.foreground)
    labels = _supervoxels(stack, inside, config) if config.supervoxels else _superpixels(stack.images, config)
    return np.where(inside, labels, 0).astype(np.int32)


def _superpixels(images: np.ndarray, config: PseudoLabelConfig) -> np.ndarray:
    from skimage.segmentation import felzenszwalb  # slow to import

    options = {"scale": config.scale, "sigma": config.sigma, "min_size": config.min_size}
    return np.stack([1 + felzenszwalb(255 * image.astype(np.float64), **options) for image in images])


def _supervoxels(stack: SliceStack, inside: np.ndarray, config: PseudoLabelConfig) -> np.ndarray:
    from skimage.segmentation import slic  # slow to import

    if not inside.any():
        return np.zeros(stack.images.shape, int)
    millilitres = inside.sum() * np.prod(stack.spacing) / 1000
    number = max(2, round(millilitres / config.supervoxel_volume))
    options = {"spacing": stack.spacing, "sigma": config.sigma, "compactness": 0.05, "start_label": 1}
    return slic(stack.images, n_segments=number, mask=inside, channel_axis=None, **options)


class PseudoLabelStore:
    """Pseudo-labels of scans, kept in a folder. A second run reuses them.

    Args:
        folder: folder that keeps them; it is created.
        config: options of the labels.

    Raises:
        InputError: a file in the folder is damaged, or the folder cannot be written.
    """

    def __init__(self, folder: Path, config: PseudoLabelConfig):
        self.folder, self.config = folder, config

    def of(self, stack: SliceStack) -> Int[np.ndarray, "D H W"]:
        """Return the pseudo-labels of a scan. They are computed on first use."""
        file = self.folder / f"{self._key(stack)}.npz"
        if file.exists():
            try:
                with np.load(file, allow_pickle=False) as stored:
                    return stored["labels"]
            except Exception as error:  # a damaged archive makes zipfile, zlib and numpy raise almost anything
                raise InputError(f"{file}: cannot be read ({error}); delete it to compute it again") from None
        labels = pseudo_labels(stack, self.config)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole_file(file) as unfinished, unfinished.open("wb") as stream:
                np.savez_compressed(stream, labels=labels)
        except OSError as error:
            raise InputError(f"{file}: cannot be written ({error.strerror}); pass another folder") from None
        return labels

    def of_all(self, stacks: Sequence[SliceStack], *, progress: bool = False) -> list[Int[np.ndarray, "D H W"]]:
        """Return the pseudo-labels of all scans, with a progress bar on request."""
        bar = tqdm(stacks, desc="superpixels", unit="scan", disable=not progress, leave=False)
        return [self.of(stack) for stack in bar]

    def _key(self, stack: SliceStack) -> str:
        digest = hashlib.sha256(repr((asdict(self.config), stack.spacing, stack.images.shape)).encode())
        digest.update(np.ascontiguousarray(stack.images).tobytes())
        return digest.hexdigest()[:24]
