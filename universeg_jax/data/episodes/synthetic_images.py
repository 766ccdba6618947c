"""Synthetic tasks: a random label map each, warped and painted anew for every subject.

After the synthetic tasks of UniverSeg (Butoi et al., ICCV 2023, appendix): smooth noise makes a label map, smooth
deformations of it make subjects, each label is painted with a mean intensity and noise, then come blur and a bias
field. The ranges are the paper's; where it leaves something open, a comment says what is done.

Everything is a function of a random key, for use under `jax.jit` and `jax.vmap`. Lengths are in pixels of 256×256
images, whatever size is drawn.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.data.augment.operations import gaussian_matrix
from universeg_jax.shapes import Array, Float, Int

LABELS = 20
"""The most that a label map has, beside the background; the fewest are 5."""

_SIZE = 256
_SHAPE_SCALES = (32, 64, 128)
_WARP_SCALES = (16, 32, 64, 128)


class SyntheticTask(NamedTuple):
    """What the subjects of a task have in common.

    Attributes:
        template: the label map, 0 for background and 1 to `LABELS`.
        means, stds: of the intensities of the background and every label.
        mean_std: of the means, from subject to subject.
        warp_std: of the deformations, at each of their scales, in pixels.
        blur_sigma: of the images, in pixels.
        bias_std: of the logarithm of the bias field.
        contrast: between the means, 1 leaves them as they are and 0 makes them one.
        outline: intensity added along the borders of labels.
        outline_sigma: of these lines, whose profile is a Gaussian, in pixels.
    """

    template: Int[Array, "H W"]
    means: Float[Array, " K"]
    stds: Float[Array, " K"]
    mean_std: Float[Array, ""]
    warp_std: Float[Array, " scales"]
    blur_sigma: Float[Array, ""]
    bias_std: Float[Array, ""]
    contrast: Float[Array, ""]
    outline: Float[Array, ""]
    outline_sigma: Float[Array, ""]


@partial(jax.jit, static_argnames="size")
def synthetic_images(
    seed: int, task: int, subjects: Array, *, size: int = _SIZE, outlined: float = 0.0, walled: float = 0.0
) -> tuple[Array, Array]:
    """Images of some subjects of a task, the same for the same seed, task and subject.

    Args:
        seed, task: from 0; there is no end of tasks.
        subjects: their numbers (N,), from 0; there is no end of them either.
        size: side of the images in pixels. Other sizes show other tasks, not the same ones resized.
        outlined: share of the tasks whose labels are told apart by lines between them and hardly by intensity, as
            much of anatomy is (not in the paper).
        walled: share of the tasks whose labels are walls and what they enclose, like the muscle around a ventricle
            or the plasma around a nucleus (not in the paper either).

    Returns:
        Images (N,H,W,1), float32 with range [0,1], and class values (N,H,W), int32 from 0 to `LABELS`.
    """
    task_key, subjects_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), task))
    drawn = draw_task(task_key, size=size, outlined=outlined, walled=walled)
    keys = jax.vmap(partial(jax.random.fold_in, subjects_key))(subjects)
    return jax.vmap(partial(draw_subject, task=drawn))(keys)


def draw_task(key: Array, *, size: int = _SIZE, outlined: float = 0.0, walled: float = 0.0) -> SyntheticTask:
    """A task of images (size,size), with outlines at a probability of `outlined`, walls at one of `walled`."""
    shapes, options = jax.random.split(key)
    labels = jnp.arange(1 + LABELS)
    ranges = jnp.array([(0.01, 0.1), (0.2, 1.0), (0.01, 0.1), (0.5, 5.0), (0.1, 1.0), (5, LABELS + 1)])
    # Drawn all at once: each call of a random function takes as long to compile as all that is done with it.
    parts = len(labels) * len(_SHAPE_SCALES), len(labels), len(labels), len(_WARP_SCALES), len(ranges)
    weights, means, spread, warp, strengths = _split(jax.random.uniform(options, (sum(parts),)), parts)
    least, most, mean_std, blur_sigma, bias_std, number = ranges[:, 0] + strengths * (ranges[:, 1] - ranges[:, 0])

    # Each label weighs the scales in its own way, so that large and small ones lie side by side.
    draws = jax.random.normal(shapes, (len(labels), smooth_noise_draws(_SHAPE_SCALES)))
    noise = partial(smooth_noise, scales=_SHAPE_SCALES, size=size)
    maps = jax.vmap(noise)(draws, stds=weights.reshape(len(labels), -1))
    present = labels <= jnp.floor(number)
    maps = jnp.where(present[:, None, None], maps, -jnp.inf)
    chosen, depths = jax.random.split(jax.random.fold_in(key, 2))
    template = jnp.where(jax.random.uniform(chosen) < walled, _walled(depths, maps), maps.argmax(axis=0))
    # The paper makes labels background whose mean area is this small. Subjects are warps of the template, so its
    # areas stand for their means.
    areas = (template == labels[:, None, None]).mean(axis=(1, 2))
    template = jnp.where(areas[template] < 0.001, 0, template)

    # Deformations are as much weaker as their scale is smaller, or they would fold.
    scales = jnp.array(_WARP_SCALES)
    warp_std = (1 + 19 * warp) * scales / scales.max()
    stds = least + spread * (most - least)
    lines = _draw_outline(jax.random.fold_in(key, 1), outlined)
    return SyntheticTask(template, means, stds, mean_std, warp_std, blur_sigma, bias_std, *lines)


def _walled(key: Array, maps: Float[Array, "K H W"]) -> Int[Array, "H W"]:
    """The template of a task of half as many labels, of which each encloses another one: its wall, and a core.

    How far a pixel is inside of its label is told by how much the label's map is above the next; the core begins at a
    fraction of the most of that.
    """
    half = LABELS // 2
    maps = maps[: 1 + half]
    (first, second), template = jax.lax.top_k(jnp.moveaxis(maps, 0, -1), 2)[0].transpose(2, 0, 1), maps.argmax(axis=0)
    inside = first - second
    most = jnp.where(template == jnp.arange(1 + half)[:, None, None], inside, 0).max(axis=(1, 2))
    start = most * jax.random.uniform(key, (1 + half,), minval=0.1, maxval=0.6)
    return jnp.where((template > 0) & (inside > start[template]), template + half, template)


def _draw_outline(key: Array, outlined: float) -> tuple[Array, Array, Array]:
    """`contrast`, `outline` and `outline_sigma` of a task; the ranges are our own."""
    chosen, dark, contrast, intensity, sigma = jax.random.uniform(key, (5,))
    has_lines = chosen < outlined
    contrast = jnp.where(has_lines, 0.4 * contrast, 1.0)
    intensity = jnp.where(has_lines, jnp.where(dark < 0.3, -1, 1) * (0.2 + 0.6 * intensity), 0.0)
    return contrast, intensity, 0.5 + 2.5 * sigma


def draw_subject(key: Array, task: SyntheticTask) -> tuple[Float[Array, "H W 1"], Int[Array, "H W"]]:
    """An image of a task, with range [0,1], and its class values."""
    size = task.template.shape[0]
    points, bias_points = smooth_noise_draws(_WARP_SCALES), smooth_noise_draws(_WARP_SCALES[-1:])
    parts = 2 * points, bias_points, len(task.means), size * size
    warp, bias, level, pixels = _split(jax.random.normal(key, (sum(parts),)), parts)
    displacement = jax.vmap(partial(smooth_noise, scales=_WARP_SCALES, stds=task.warp_std, size=size))
    grid = jnp.stack(jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij"))
    moved = grid + displacement(warp.reshape(2, points)) * size / _SIZE
    rows, columns = jnp.clip(jnp.round(moved).astype(int), 0, size - 1)
    labels = task.template[rows, columns]

    middle = task.means.mean()
    means = middle + task.contrast * (task.means - middle) + task.mean_std * level
    image = means[labels] + task.stds[labels] * pixels.reshape(labels.shape)
    image += task.outline * _borders(labels, task.outline_sigma * size / _SIZE)
    image = _blurred(image, task.blur_sigma * size / _SIZE)
    image *= jnp.exp(smooth_noise(bias, scales=_WARP_SCALES[-1:], stds=task.bias_std[None], size=size))
    image = (image - image.min()) / (image.max() - image.min())
    return image[..., None], labels


def _borders(labels: Int[Array, "H W"], sigma: Array) -> Float[Array, "H W"]:
    """1 on the borders of labels, falling off beside them as a Gaussian of `sigma` pixels."""
    below, right = (labels != jnp.roll(labels, -1, axis=axis) for axis in (0, 1))
    between = below.at[-1].set(False) | right.at[:, -1].set(False)
    # A straight line of one pixel, blurred, is this much lower.
    peak = jnp.minimum(1.0, 1 / (sigma * jnp.sqrt(2 * jnp.pi)))
    return jnp.minimum(1.0, _blurred(between.astype(jnp.float32), sigma) / peak)


def _blurred(image: Float[Array, "H W"], sigma: Array) -> Float[Array, "H W"]:
    """A square image behind a Gaussian blur."""
    smooth = gaussian_matrix(image.shape[0], sigma)
    smooth /= smooth.sum(axis=1, keepdims=True)  # at the border, the mean of what is there
    return smooth @ image @ smooth.T


def smooth_noise(draws: Array, *, scales: tuple[int, ...], stds: Array, size: int) -> Array:
    """A sum of smooth noise (size,size): at each scale normal draws that far apart, interpolated.

    Args:
        draws: as many as `smooth_noise_draws(scales)` says.
        scales: in pixels of 256×256 images, whatever the size.
        stds: of the draws, for each scale.
    """
    sides = [_points(scale) for scale in scales]
    grids = [part.reshape(side, side) for part, side in zip(_split(draws, [n * n for n in sides]), sides, strict=True)]
    return sum(std * jax.image.resize(grid, (size, size), "cubic") for std, grid in zip(stds, grids, strict=True))


def smooth_noise_draws(scales: tuple[int, ...]) -> int:
    """How many normal draws smooth noise at these scales is made of."""
    return sum(_points(scale) ** 2 for scale in scales)


def _points(scale: int) -> int:
    return round(_SIZE / scale) + 1


def _split(array: Array, sizes: Sequence[int]) -> list[Array]:
    return jnp.split(array, np.cumsum(sizes)[:-1])
