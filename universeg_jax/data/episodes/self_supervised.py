"""Draw episodes without annotations: one slice, one of its superpixels, and two augmented copies of both.

The first copy is the support and the second the target (Ouyang et al., ECCV 2020). The ranges of the augmentation are
SSL-ALPNet's.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.data.augment import operations
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.episodes.draw import NUMBER, Episode, checked_number
from universeg_jax.data.stacks import SliceStack
from universeg_jax.errors import InputError
from universeg_jax.shapes import Array, Float, Int
from universeg_jax.util.checks import check_numbers, check_tuple
from universeg_jax.util.random import generator

ATTEMPTS = 20
"""Draws of an episode before its superpixel may be lost at the border of a copy."""

REFERENCE = 256
"""Side of the images, in pixels, that lengths of the augmentation refer to."""


@dataclass(frozen=True)
class CopyAugmentation:
    """Ranges of the random changes of each copy. Lengths are in pixels of 256x256 images.

    Attributes:
        rotation, shear: largest angles, in degrees.
        shift: largest shift along each axis.
        scale: range of the scale.
        elastic_alpha, elastic_sigma: strength and smoothness of the elastic deformation.
        gamma: range of the exponent of intensities.

    Raises:
        InputError: a value is out of range.
    """

    rotation: float = 5.0
    shear: float = 5.0
    shift: float = 5.0
    scale: tuple[float, float] = (0.9, 1.2)
    elastic_alpha: float = 10.0
    elastic_sigma: float = 5.0
    gamma: tuple[float, float] = (0.5, 1.5)

    def __post_init__(self):
        check_numbers(self, "rotation", "shear", "shift", "elastic_alpha", least=0)
        check_numbers(self, "elastic_sigma", above=0)
        for name in ("scale", "gamma"):
            check_tuple(self, name, length=2, above=0)
            if getattr(self, name)[0] > getattr(self, name)[1]:
                raise InputError(f"CopyAugmentation.{name}={getattr(self, name)}: pass the lower end first")


class SelfSupervisedEpisodes:
    """Episodes of superpixels of scans, with one support image (an `EpisodeSource`).

    Args:
        stacks: scans. Only their images are used.
        labels: pseudo-labels of each scan, (D,H,W), 0 outside the patient.
        allowed: slices of each scan that may be drawn; None for all. Setting 2 of the few-shot protocol leaves out
            slices that show test organs.
        seed: episodes are a function of scans, options, seed and number.
        size: side of the images in pixels.
        augmentation: ranges of the random changes of each copy.
        smallest: smallest superpixel, in pixels of the slice.

    Attributes:
        tasks: one task, superpixels.

    Raises:
        InputError: no slice has a superpixel, or scans are not square.
    """

    def __init__(
        self,
        stacks: Sequence[SliceStack],
        labels: Sequence[Int[np.ndarray, "D H W"]],
        *,
        allowed: Sequence[Sequence[int]] | None = None,
        seed: int,
        size: int,
        augmentation: CopyAugmentation | None = None,
        smallest: int = 100,
    ):
        self.tasks = (CorpusTask("superpixels", "image", "2d", "superpixel"),)
        self._stacks, self._labels, self._seed, self._size = list(stacks), list(labels), operator.index(seed), size
        self._augmentation = CopyAugmentation() if augmentation is None else augmentation
        self._slices: list[tuple[int, int, tuple[int, ...]]] = []
        for i, own in enumerate(self._labels):
            for z in range(len(own)) if allowed is None else allowed[i]:
                areas = np.bincount(own[z].ravel())
                large = tuple(value for value in np.flatnonzero(areas >= smallest).tolist() if value)
                if large:
                    self._slices.append((i, z, large))
        if not self._slices:
            names = ", ".join(stack.name for stack in self._stacks[:5])
            raise InputError(
                f"scans {names}: no allowed slice has a superpixel of {smallest} pixels or more; allow more slices, or "
                "lower the foreground intensity or the smallest size"
            )

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, number: int) -> Episode:
        number = checked_number(number)
        for attempt in range(ATTEMPTS):
            rng = generator(self._seed, "superpixel", number, attempt)
            scan, z, values = self._slices[rng.integers(len(self._slices))]
            value = values[rng.integers(len(values))]
            image = _square(self._stacks[scan].images[z])
            label = _square(self._labels[scan][z] == value)
            images, labels = map(
                np.asarray,
                augmented_copies(int(rng.integers(NUMBER)), image, label, self._augmentation, size=self._size),
            )
            if labels.any(axis=(1, 2, 3)).all():
                break
        return Episode(
            target=images[1],
            target_label=labels[1],
            support_images=images[:1],
            support_labels=labels[:1],
            support_mask=np.ones(1, bool),
            task=np.int32(0),
            number=np.int32(number),
        )


def _square(plane: np.ndarray) -> np.ndarray:
    """Pad a slice (H,W) with zeros to a centred square (S,S,1), float32."""
    side = max(plane.shape)
    before = [(side - length) // 2 for length in plane.shape]
    widths = [(b, side - length - b) for b, length in zip(before, plane.shape, strict=True)]
    return np.pad(plane.astype(np.float32), widths)[..., None]


@partial(jax.jit, static_argnames=("augmentation", "size"))
def augmented_copies(
    seed: int, image: Float[Array, "S S 1"], label: Float[Array, "S S 1"], augmentation: CopyAugmentation, *, size: int
) -> tuple[Float[Array, "2 H W 1"], Float[Array, "2 H W 1"]]:
    """Return two copies of an image in [0,1] and its mask, each changed in its own way and resized.

    Args:
        seed: seed of all random numbers.
        image, label: square.
        augmentation: ranges of the changes.
        size: side of the copies in pixels.

    Returns:
        Images in [0,1], and masks of 0 and 1.
    """
    image, label = (jax.image.resize(x, (size, size, 1), "linear", antialias=True) for x in (image, label))
    copy = partial(_copy, image=image, label=label, augmentation=augmentation)
    return jax.vmap(copy)(jax.random.split(jax.random.key(seed), 2))


def _copy(key: Array, *, image: Array, label: Array, augmentation: CopyAugmentation) -> tuple[Array, Array]:
    size, a = image.shape[0], augmentation
    numbers, field = jax.random.split(key)
    rotation, shear, down, right, scale, gamma = jax.random.uniform(numbers, (6,))
    grid = operations.pixel_grid(size, size)
    noise = jax.random.uniform(field, (2, size, size), minval=-1)
    pixel = size / REFERENCE
    # `elastic` takes its strength in halves of the image.
    grid = operations.elastic(grid, noise, alpha=2 * a.elastic_alpha / REFERENCE, sigma=a.elastic_sigma * pixel)
    shift = ((2 * down - 1) * a.shift / REFERENCE, (2 * right - 1) * a.shift / REFERENCE)
    grid = operations.affine(
        grid,
        rotation=(2 * rotation - 1) * a.rotation,
        translation=shift,
        scale=a.scale[0] + scale * (a.scale[1] - a.scale[0]),
        shear=(2 * shear - 1) * a.shear,
    )
    image, label = jnp.split(operations.warp(jnp.concatenate([image, label], axis=-1), grid), 2, axis=-1)
    exponent = a.gamma[0] + gamma * (a.gamma[1] - a.gamma[0])
    return jnp.maximum(image, 1e-6) ** exponent, (label >= 0.5).astype(jnp.float32)
