"""Augmentation of episodes, on the device: pure functions of a random key, for use under `jax.jit` and `jax.vmap`."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.tasks.augment import geometry, pixels
from universeg_jax.tasks.augment.policy import Policy, Variation
from universeg_jax.tasks.episodes import Episode
from universeg_jax.typing import Array, Float, typed


def augment_episodes(key: Array, episodes: Episode, *, policy: Policy) -> Episode:
    """Augment a batch of episodes.

    Each is drawn for by its number in the source, so it comes out the same in any batch and on any host. Entries that
    are absent from the support stay zeros.
    """
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(episodes.number))
    arrays = episodes.target, episodes.target_label, episodes.support_images, episodes.support_labels
    target, target_label, images, labels = jax.vmap(partial(augment_episode, policy=policy))(keys, *arrays)
    present = episodes.support_mask[..., None, None, None]
    return episodes._replace(
        target=target, target_label=target_label, support_images=images * present, support_labels=labels * present
    )


@typed
def augment_episode(
    key: Array,
    target: Float[Array, "H W 1"],
    target_label: Float[Array, "H W 1"],
    support_images: Float[Array, "S H W 1"],
    support_labels: Float[Array, "S H W 1"],
    *,
    policy: Policy,
) -> tuple[Array, Array, Array, Array]:
    """Augment a target and its support set. All are in [0,1], before and after."""
    images = jnp.concatenate([target[None], support_images])
    labels = jnp.concatenate([target_label[None], support_labels])
    task_key, in_task_key = jax.random.split(key)
    # What depends on the task's key alone is out of sight of vmap, and so computed once.
    entry = partial(_augment_entry, task_key, policy=policy)
    images, labels = jax.vmap(entry)(jax.random.split(in_task_key, len(images)), images, labels)
    return images[0], labels[0], images[1:], labels[1:]


def _augment_entry(task_key: Array, entry_key: Array, image: Array, label: Array, *, policy: Policy) -> tuple:
    """Augment one image and label map of an episode, whose entries have `task_key` in common.

    First within the task, then as the whole task is; but geometry goes ahead of intensities, so that all of it is one
    interpolation.
    """
    flips, task_draw, task_field = jax.random.split(task_key, 3)
    entry_draw, entry_field, entry_noise, task_noise = jax.random.split(entry_key, 4)
    task, entry = _draw(task_draw, policy.task), _draw(entry_draw, policy.in_task)
    vertical, horizontal, intensities, inverse, outline = jax.random.uniform(flips, 5) < jnp.array(
        [policy.flip_vertically, policy.flip_horizontally, policy.flip_intensities, policy.flip_labels, policy.edges]
    )

    # From the result back to the original, so the last operation comes first.
    coordinates = geometry.flip(geometry.pixel_grid(*image.shape[:2]), vertical=vertical, horizontal=horizontal)
    coordinates = _move(task_field, coordinates, task)
    coordinates = _move(entry_field, coordinates, entry)
    image, label = jnp.split(geometry.warp(jnp.concatenate([image, label], axis=-1), coordinates), 2, axis=-1)

    # The strength of the task's noise is common to all entries, but not its pixels: they would be part of the task.
    image = _change(entry_noise, image, entry)
    image = _change(task_noise, image, task)
    image = jnp.where(intensities, 1 - image, image)
    label = jnp.where(outline, pixels.edges(label), label)
    return image, jnp.where(inverse, 1 - label, label)


class _Strengths(NamedTuple):
    """One draw of a variation. The defaults change nothing."""

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
    # Fields are drawn on the grid of the result, wherever the coordinates point: none is ever interpolated.
    field = jax.random.uniform(key, coordinates.shape, minval=-1)
    alpha, sigma = strengths.elastic_alpha, strengths.elastic_sigma
    coordinates = geometry.elastic(coordinates, field, alpha=alpha, sigma=sigma)
    shift = strengths.down, strengths.right
    return geometry.affine(coordinates, rotation=strengths.rotation, translation=shift, scale=strengths.scale)


def _change(key: Array, image: Array, strengths: _Strengths) -> Array:
    brightness, contrast = strengths.brightness, strengths.contrast
    image = pixels.adjust_brightness_contrast(image, brightness=brightness, contrast=contrast)
    image = pixels.gaussian_blur(image, sigma=strengths.blur_sigma)
    image = pixels.add_gaussian_noise(key, image, mean=strengths.noise_mean, std=strengths.noise_std)
    return pixels.adjust_sharpness(image, factor=strengths.sharpness_factor)
