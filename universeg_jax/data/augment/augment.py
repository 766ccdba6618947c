"""Augment episodes on the device, as a `Policy` says.

All functions take a random key and work under `jax.jit` and `jax.vmap`. A policy is a pytree of numbers, so a compiled
function takes another policy without compiling again.
"""

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.data.augment import operations
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.shapes import Array, Float

Range = tuple[float, float]


def _check(options) -> None:
    for field in fields(options):
        value = getattr(options, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(number, (int, float)) for number in numbers):
            continue  # a variation, which checks itself; or a traced number
        if isinstance(value, tuple):
            if len(value) != 2 or not value[0] <= value[1]:
                raise InputError(f"{field.name}={value}: pass a range, as in (0.5, 1.5)")
        elif not 0 <= value <= 1:
            raise InputError(f"{field.name}={value}: pass a probability, from 0 to 1")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Variation:
    """Probability of each operation, and the range from which its strength is drawn uniformly.

    Attributes:
        affine: probability of rotation, translation and scale together.
        rotation: degrees.
        translation: along each axis, in heights and widths of the image.
        scale: above 1 the image grows.
        brightness_contrast: probability of brightness and contrast together.
        brightness: added.
        contrast: factor.
        elastic: probability of a smooth deformation.
        elastic_alpha: factor of the displacement, in halves of the image's height and width.
        elastic_sigma: smoothness of the displacement, in pixels.
        blur: probability of a Gaussian blur, 5×5 pixels.
        blur_sigma: pixels.
        noise: probability of Gaussian noise.
        noise_mean, noise_std: mean and deviation of the noise. The paper's table says variance, its code uses a
            deviation.
        sharpness: probability of a change of sharpness.
        sharpness_factor: 0 smooths, 1 changes nothing, more sharpens. The paper gives 5, and kornia, the library of the
            authors, reads one number as the upper end of a range from 0.
    """

    affine: float = 0.0
    rotation: Range = (0.0, 360.0)
    translation: Range = (-0.2, 0.2)
    scale: Range = (0.8, 1.1)
    brightness_contrast: float = 0.0
    brightness: Range = (-0.1, 0.1)
    contrast: Range = (0.8, 1.2)
    elastic: float = 0.0
    elastic_alpha: Range = (1.0, 2.0)
    elastic_sigma: Range = (6.0, 8.0)
    blur: float = 0.0
    blur_sigma: Range = (0.1, 1.1)
    noise: float = 0.0
    noise_mean: Range = (0.0, 0.05)
    noise_std: Range = (0.0, 0.05)
    sharpness: float = 0.0
    sharpness_factor: Range = (0.0, 5.0)

    def __post_init__(self):
        _check(self)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Policy:
    """Augmentation of episodes. All probabilities are zero by default.

    Attributes:
        task: variation with one draw for the target and all of its support.
        in_task: variation with a separate draw for every image.
        target: variation of the target in place of `in_task`; None for the same as its support.
        flip_target: probability that the target x becomes 1-x against its support. In half of these episodes the
            support is unchanged. In the others a share of it is inverted too, drawn from 0 to 1.
        flip_intensities: probability that all images x of an episode become 1-x.
        flip_labels: probability that all label maps y become 1-y.
        flip_horizontally, flip_vertically: probability that all images and label maps are mirrored.
        edges: probability that all label maps become their outlines.
    """

    task: Variation = Variation()
    in_task: Variation = Variation()
    flip_intensities: float = 0.0
    flip_labels: float = 0.0
    flip_horizontally: float = 0.0
    flip_vertically: float = 0.0
    edges: float = 0.0
    target: Variation | None = None
    flip_target: float = 0.0

    def __post_init__(self):
        _check(self)

    @classmethod
    def none(cls) -> "Policy":
        """Return the policy that changes nothing."""
        return cls()

    @classmethod
    def task_only(cls) -> "Policy":
        """Return the task augmentation of the paper."""
        return cls(
            task=Variation(affine=0.5, brightness_contrast=0.5, elastic=0.25, blur=0.5, noise=0.5, sharpness=0.5),
            flip_intensities=0.5,
            flip_labels=0.5,
            flip_horizontally=0.5,
            flip_vertically=0.5,
            edges=0.5,
        )

    @classmethod
    def in_task_only(cls) -> "Policy":
        """Return the in-task augmentation of the paper."""
        return cls(
            in_task=Variation(
                affine=0.5,
                brightness_contrast=0.25,
                contrast=(0.5, 1.5),
                elastic=0.8,
                elastic_alpha=(1.0, 2.5),
                elastic_sigma=(7.0, 8.0),
                blur=0.25,
                noise=0.25,
                sharpness=0.25,
            )
        )

    @classmethod
    def universeg(cls) -> "Policy":
        """Return both, as used to train UniverSeg (Butoi et al., ICCV 2023, table of the appendix)."""
        return replace(cls.task_only(), in_task=cls.in_task_only().in_task)


def augment_episodes(key: Array, episodes: Episode, *, policy: Policy) -> Episode:
    """Augment a batch of episodes.

    The draws depend on the number of the episode, so the result is the same in any batch and on any host. Absent
    entries of the support stay zero.
    """
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(episodes.number))
    arrays = episodes.target, episodes.target_label, episodes.support_images, episodes.support_labels
    target, target_label, images, labels = jax.vmap(partial(augment_episode, policy=policy))(keys, *arrays)
    present = episodes.support_mask[..., None, None, None]
    return episodes._replace(
        target=target, target_label=target_label, support_images=images * present, support_labels=labels * present
    )


def augment_episode(
    key: Array,
    target: Float[Array, "H W 1"],
    target_label: Float[Array, "H W 1"],
    support_images: Float[Array, "S H W 1"],
    support_labels: Float[Array, "S H W 1"],
    *,
    policy: Policy,
) -> tuple[Array, Array, Array, Array]:
    """Augment a target and its support set. Images and labels are in [0,1], before and after."""
    images = jnp.concatenate([target[None], support_images])
    labels = jnp.concatenate([target_label[None], support_labels])
    task_key, in_task_key = jax.random.split(key)
    # Values that depend on the task's key only are not mapped, so they are computed once.
    entry = partial(_augment_entry, task_key, policy=policy)
    is_target = jnp.arange(len(images)) == 0
    images, labels = jax.vmap(entry)(jax.random.split(in_task_key, len(images)), is_target, images, labels)
    return images[0], labels[0], images[1:], labels[1:]


def _augment_entry(
    task_key: Array, entry_key: Array, is_target: Array, image: Array, label: Array, *, policy: Policy
) -> tuple[Array, Array]:
    """Augment one image and label map of an episode. All entries of the episode share `task_key`.

    The in-task variation comes first, then the task variation. All geometry comes before all intensities, so that one
    interpolation is enough.
    """
    flips, task_draw, task_field = jax.random.split(task_key, 3)
    entry_draw, entry_field, entry_noise, task_noise = jax.random.split(entry_key, 4)
    task, entry = _draw(task_draw, policy.task), _draw(entry_draw, policy.in_task)
    if policy.target is not None:
        entry = jax.tree.map(partial(jnp.where, is_target), _draw(entry_draw, policy.target), entry)
    vertical, horizontal, intensities, inverse, outline = jax.random.uniform(flips, 5) < jnp.array(
        [policy.flip_vertically, policy.flip_horizontally, policy.flip_intensities, policy.flip_labels, policy.edges]
    )

    # Coordinates map the result to the original, so the last operation comes first.
    coordinates = operations.flip(operations.pixel_grid(*image.shape[:2]), vertical=vertical, horizontal=horizontal)
    coordinates = _move(task_field, coordinates, task)
    coordinates = _move(entry_field, coordinates, entry)
    image, label = jnp.split(operations.warp(jnp.concatenate([image, label], axis=-1), coordinates), 2, axis=-1)

    # Entries share the strength of the task's noise but not its pixels, which would become part of the task.
    image = _change(entry_noise, image, entry)
    image = _change(task_noise, image, task)
    intensities ^= _inverted_alone(task_key, entry_key, is_target, policy.flip_target)
    image = jnp.where(intensities, 1 - image, image)
    label = jnp.where(outline, operations.edges(label), label)
    return image, jnp.where(inverse, 1 - label, label)


_ALONE = 1 << 20
"""Number folded into keys: beyond those that `split` uses, so all other draws stay as they are."""


def _inverted_alone(task_key: Array, entry_key: Array, is_target: Array, probability: Array | float) -> Array:
    """Draw whether an image is inverted by `Policy.flip_target`.

    Args:
        task_key, entry_key: keys of the episode and of the image.
        is_target: () True for the target.
        probability: `Policy.flip_target`.

    Returns:
        () True for an image to invert.
    """
    chosen, share = jax.random.uniform(jax.random.fold_in(task_key, _ALONE), 2)
    of_support = jax.random.uniform(jax.random.fold_in(entry_key, _ALONE)) < 2 * share - 1
    return (chosen < probability) & (is_target | of_support)


class _Strengths(NamedTuple):
    """Strengths drawn from a variation. The defaults change nothing."""

    rotation: Array | float = 0.0
    down: Array | float = 0.0
    right: Array | float = 0.0
    scale: Array | float = 1.0
    brightness: Array | float = 0.0
    contrast: Array | float = 1.0
    elastic_alpha: Array | float = 0.0
    elastic_sigma: Array | float = 1.0
    blur_sigma: Array | float = 0.0
    noise_mean: Array | float = 0.0
    noise_std: Array | float = 0.0
    sharpness_factor: Array | float = 1.0


def _draw(key: Array, variation: Variation) -> _Strengths:
    v = variation
    operations = [
        (v.affine, [v.rotation, v.translation, v.translation, v.scale]),
        (v.brightness_contrast, [v.brightness, v.contrast]),
        (v.elastic, [v.elastic_alpha, v.elastic_sigma]),
        (v.blur, [v.blur_sigma]),
        (v.noise, [v.noise_mean, v.noise_std]),
        (v.sharpness, [v.sharpness_factor]),
    ]
    which, how = jax.random.split(key)
    chosen = jax.random.uniform(which, len(operations)) < jnp.array([probability for probability, _ in operations])
    chosen = chosen[np.repeat(np.arange(len(operations)), [len(ranges) for _, ranges in operations])]
    low, high = jnp.array([limits for _, ranges in operations for limits in ranges]).T
    strengths = jax.random.uniform(how, low.shape, minval=low, maxval=high)
    return _Strengths(*jnp.where(chosen, strengths, jnp.array(_Strengths())))


def _move(key: Array, coordinates: Array, strengths: _Strengths) -> Array:
    # Fields are drawn on the grid of the result, so they are never interpolated.
    field = jax.random.uniform(key, coordinates.shape, minval=-1)
    alpha, sigma = strengths.elastic_alpha, strengths.elastic_sigma
    coordinates = operations.elastic(coordinates, field, alpha=alpha, sigma=sigma)
    shift = strengths.down, strengths.right
    return operations.affine(coordinates, rotation=strengths.rotation, translation=shift, scale=strengths.scale)


def _change(key: Array, image: Array, strengths: _Strengths) -> Array:
    brightness, contrast = strengths.brightness, strengths.contrast
    image = operations.adjust_brightness_contrast(image, brightness=brightness, contrast=contrast)
    image = operations.gaussian_blur(image, sigma=strengths.blur_sigma)
    image = operations.add_gaussian_noise(key, image, mean=strengths.noise_mean, std=strengths.noise_std)
    return operations.adjust_sharpness(image, factor=strengths.sharpness_factor)
