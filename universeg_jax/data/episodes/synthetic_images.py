"""Paint synthetic tasks: a random label map for each, warped and painted anew for every subject.

The method follows UniverSeg (Butoi et al., ICCV 2023, appendix). Smooth noise makes a label map, and smooth
deformations make subjects. Each label gets a mean intensity and noise; then blur and a bias field are applied. The
ranges are the paper's; a comment marks each choice that the paper leaves open.

All functions take a random key and work under `jax.jit` and `jax.vmap`. Lengths are in pixels of 256×256 images, for
any drawn size.
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
"""Largest number of labels in a map, without the background; the smallest is 5."""

_SIZE = 256
_SHAPE_SCALES = (32, 64, 128)
_WARP_SCALES = (16, 32, 64, 128)


class SyntheticTask(NamedTuple):
    """Properties that the subjects of a task share.

    Attributes:
        template: label map, 0 for background and 1 to `LABELS`.
        means, stds: mean and deviation of the intensity of background and labels.
        mean_std: deviation of the means between subjects.
        warp_std: deviation of the warp at each scale, in pixels.
        blur_sigma: sigma of the blur, in pixels.
        bias_std: deviation of the logarithm of the bias field.
        contrast: factor of the differences between the means; 0 makes them equal.
        outline: intensity added along the borders of labels.
        outline_sigma: sigma of these lines, whose profile is a Gaussian, in pixels.
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
    """Paint images of some subjects of a task. The same seed, task and subject give the same image.

    Args:
        seed, task: numbers from 0, without an upper limit.
        subjects: numbers (N,) from 0, without an upper limit.
        size: side of the images in pixels. Another size gives another task, not the same one resized.
        outlined: share of the tasks whose labels differ by lines between them and hardly by intensity, as in much of
            anatomy (not in the paper).
        walled: share of the tasks whose labels are walls and their contents, such as the muscle around a ventricle
            (not in the paper).

    Returns:
        Images (N,H,W,1), float32 with range [0,1], and class values (N,H,W), int32 from 0 to `LABELS`.
    """
    task_key, subjects_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), task))
    drawn = draw_task(task_key, size=size, outlined=outlined, walled=walled)
    keys = jax.vmap(partial(jax.random.fold_in, subjects_key))(subjects)
    return jax.vmap(partial(draw_subject, task=drawn))(keys)


def draw_task(key: Array, *, size: int = _SIZE, outlined: float = 0.0, walled: float = 0.0) -> SyntheticTask:
    """Draw a task of images (size,size). It has outlines with probability `outlined`, walls with `walled`."""
    shapes, options = jax.random.split(key)
    labels = jnp.arange(1 + LABELS)
    ranges = jnp.array([(0.01, 0.1), (0.2, 1.0), (0.01, 0.1), (0.5, 5.0), (0.1, 1.0), (5, LABELS + 1)])
    # One draw for all, because each call of a random function takes long to compile.
    parts = len(labels) * len(_SHAPE_SCALES), len(labels), len(labels), len(_WARP_SCALES), len(ranges)
    weights, means, spread, warp, strengths = _split(jax.random.uniform(options, (sum(parts),)), parts)
    least, most, mean_std, blur_sigma, bias_std, number = ranges[:, 0] + strengths * (ranges[:, 1] - ranges[:, 0])

    # Each label weighs the scales in its own way, so that large and small labels occur together.
    draws = jax.random.normal(shapes, (len(labels), smooth_noise_draws(_SHAPE_SCALES)))
    noise = partial(smooth_noise, scales=_SHAPE_SCALES, size=size)
    maps = jax.vmap(noise)(draws, stds=weights.reshape(len(labels), -1))
    present = labels <= jnp.floor(number)
    maps = jnp.where(present[:, None, None], maps, -jnp.inf)
    chosen, depths = jax.random.split(jax.random.fold_in(key, 2))
    template = jnp.where(jax.random.uniform(chosen) < walled, _walled(depths, maps), maps.argmax(axis=0))
    # As in the paper, labels of such a small mean area become background. The areas of the template stand for the
    # means, because subjects are warps of it.
    areas = (template == labels[:, None, None]).mean(axis=(1, 2))
    template = jnp.where(areas[template] < 0.001, 0, template)

    # Deformations shrink with their scale, so that they do not fold.
    scales = jnp.array(_WARP_SCALES)
    warp_std = (1 + 19 * warp) * scales / scales.max()
    stds = least + spread * (most - least)
    lines = _draw_outline(jax.random.fold_in(key, 1), outlined)
    return SyntheticTask(template, means, stds, mean_std, warp_std, blur_sigma, bias_std, *lines)


def _walled(key: Array, maps: Float[Array, "K H W"]) -> Int[Array, "H W"]:
    """Return the template of a walled task: half as many labels, each a wall around a core of its own.

    The depth of a pixel in its label is the lead of the label's map over the next one. The core begins at a fraction of
    the largest depth.
    """
    half = LABELS // 2
    maps = maps[: 1 + half]
    (first, second), template = jax.lax.top_k(jnp.moveaxis(maps, 0, -1), 2)[0].transpose(2, 0, 1), maps.argmax(axis=0)
    inside = first - second
    most = jnp.where(template == jnp.arange(1 + half)[:, None, None], inside, 0).max(axis=(1, 2))
    start = most * jax.random.uniform(key, (1 + half,), minval=0.1, maxval=0.6)
    return jnp.where((template > 0) & (inside > start[template]), template + half, template)


def _draw_outline(key: Array, outlined: float) -> tuple[Array, Array, Array]:
    """Draw `contrast`, `outline` and `outline_sigma` of a task. The ranges are our own."""
    chosen, dark, contrast, intensity, sigma = jax.random.uniform(key, (5,))
    has_lines = chosen < outlined
    contrast = jnp.where(has_lines, 0.4 * contrast, 1.0)
    intensity = jnp.where(has_lines, jnp.where(dark < 0.3, -1, 1) * (0.2 + 0.6 * intensity), 0.0)
    return contrast, intensity, 0.5 + 2.5 * sigma


def draw_subject(key: Array, task: SyntheticTask) -> tuple[Float[Array, "H W 1"], Int[Array, "H W"]]:
    """Paint an image of a task with range [0,1], and return it with its class values."""
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
    """Return 1 on the borders of labels, with a Gaussian fall-off of `sigma` pixels."""
    below, right = (labels != jnp.roll(labels, -1, axis=axis) for axis in (0, 1))
    between = below.at[-1].set(False) | right.at[:, -1].set(False)
    # Peak of a straight line of one pixel after the blur.
    peak = jnp.minimum(1.0, 1 / (sigma * jnp.sqrt(2 * jnp.pi)))
    return jnp.minimum(1.0, _blurred(between.astype(jnp.float32), sigma) / peak)


def _blurred(image: Float[Array, "H W"], sigma: Array) -> Float[Array, "H W"]:
    """Blur a square image with a Gaussian."""
    smooth = gaussian_matrix(image.shape[0], sigma)
    smooth /= smooth.sum(axis=1, keepdims=True)  # at the border, the mean of the pixels inside
    return smooth @ image @ smooth.T


def smooth_noise(draws: Array, *, scales: tuple[int, ...], stds: Array, size: int) -> Array:
    """Sum smooth noise (size,size) over scales. At each scale normal draws on a coarse grid are interpolated.

    Args:
        draws: normal draws; `smooth_noise_draws(scales)` is their number.
        scales: distances of the grid points, in pixels of 256×256 images.
        stds: deviation of the draws at each scale.
        size: side of the result in pixels.
    """
    sides = [_points(scale) for scale in scales]
    grids = [part.reshape(side, side) for part, side in zip(_split(draws, [n * n for n in sides]), sides, strict=True)]
    return sum(std * jax.image.resize(grid, (size, size), "cubic") for std, grid in zip(stds, grids, strict=True))


def smooth_noise_draws(scales: tuple[int, ...]) -> int:
    """Return the number of normal draws in smooth noise at these scales."""
    return sum(_points(scale) ** 2 for scale in scales)


def _points(scale: int) -> int:
    return round(_SIZE / scale) + 1


def _split(array: Array, sizes: Sequence[int]) -> list[Array]:
    return jnp.split(array, np.cumsum(sizes)[:-1])
