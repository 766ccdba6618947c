"""Adaptive local prototypes (ALP): coarse segmentation from the features of a few labelled images.

Features of the support are averaged over small windows, the cells. A cell inside the foreground is a local prototype
of the foreground, and likewise for the background. The mean feature of the foreground is its global prototype. The
score of a pixel for a class is the softmax-weighted mean of its similarities d to the prototypes:

    score = sum_p softmax(d)_p d_p,    d_p = scale * cos(feature, prototype_p)

Labels decide which cells are prototypes. Every cell is kept, and -inf in the softmax removes the others, so that shapes
are fixed and everything compiles. The global prototype is one more entry of the same softmax. If it is the only one,
the score is d itself.

ALPNet ignores positions. This version can subtract the weighted squared distance to a prototype's place from d.

Ouyang et al., "Self-supervision with superpixels", ECCV 2020 (ALPNet), section 3.3; Ayzenberg et al., 2024 (ProtoSAM).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from universeg_jax.models.protosam.config import ALPConfig, LabelSampling
from universeg_jax.nn.resample import resize_nearest
from universeg_jax.shapes import Array, Bool, Float

NORM_FLOOR = 1e-4  # smallest length that a feature is divided by (ALPNet)
AREA_FLOOR = 1e-5  # added to a mask's area before division (ALPNet)
FARTHEST = 8.0  # squared distance of two opposite corners
LEAST = -80.0  # exponent of the smallest weight in a softmax: float32 ends soon below
AT_ONCE = 1 << 20  # similarities held in memory, 4 MB, about what a core keeps in its cache


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prototypes:
    """Prototypes of K classes from a support set of S entries, with n cells in each entry and C features.

    Attributes:
        cells: (S,n,C) mean features of the cells, of unit length; shared by all classes.
        places: (n,2) their centres, row and column, from -1 to 1.
        foreground: (K,S,n), True for local prototypes of the foreground.
        background: (K,S,n), True for local prototypes of the background.
        foreground_mean: (K,S,C) global prototype of each entry, of unit length.
        foreground_place: (K,S,2) centroid of each entry's foreground.
        foreground_spread: (K,S) mean squared distance of the foreground from its centroid.
        has_foreground: (K,S), False for an entry without foreground, or one that does not count.
        background_mean: (K,C) mean feature of the background of all entries, of unit length.
        has_background: (K,), False if no entry that counts has background.
        position_weight: (K,) factor of the squared distance to a prototype's place.
    """

    cells: Float[Array, "S n C"]
    places: Float[Array, "n 2"]
    foreground: Bool[Array, "K S n"]
    background: Bool[Array, "K S n"]
    foreground_mean: Float[Array, "K S C"]
    foreground_place: Float[Array, "K S 2"]
    foreground_spread: Float[Array, "K S"]
    has_foreground: Bool[Array, "K S"]
    background_mean: Float[Array, "K C"]
    has_background: Bool[Array, " K"]
    position_weight: Float[Array, " K"]


def prototypes(
    features: Float[Array, "S h w C"],
    labels: Float[Array, "K S H W"],
    counts: Bool[Array, "K S"],
    anywhere: Bool[Array, " K"],
    config: ALPConfig,
) -> Prototypes:
    """Find the prototypes of a task. It compiles under `jax.jit` with `config` static.

    Args:
        features: features of the support images.
        labels: labels of the support images, in [0,1], at the resolution of the features or a higher one.
        counts: True where an entry counts for a class; other entries change nothing.
        anywhere: True for classes that may be anywhere in an image; positions have no weight for them.
        config: options.

    Raises:
        ValueError: features smaller than a window.
    """
    features = features.astype(jnp.float32)
    _, height, width, _ = features.shape
    if min(height, width) < config.window:
        raise ValueError(
            f"features are {height}x{width}, smaller than a window of {config.window}: pass larger images or a "
            "smaller window"
        )
    weights = on_grid(labels.astype(jnp.float32), (height, width), config.label_sampling)
    foreground = cells(weights[..., None], config.window)[..., 0] > config.purity
    background = cells(1 - weights[..., None], config.window)[..., 0] > config.purity
    roomy = True
    if config.foreground_grid is not None:
        block = max(1, min(height, width) // config.foreground_grid)
        roomy = cells(weights[..., None], block).max(axis=(-2, -1)) >= config.purity
        roomy = roomy[..., None]
    inside, outside = (w * counts[..., None, None] for w in (weights, 1 - weights))
    means = jnp.einsum("kshw,shwc->ksc", inside, features, precision="highest")
    area = inside.sum((2, 3)) + AREA_FLOOR
    where = centres(height, width)
    centroids = jnp.einsum("kshw,hwp->ksp", inside, where, precision="highest") / area[..., None]
    from_centroids = ((where - centroids[:, :, None, None]) ** 2).sum(axis=-1)
    rest = jnp.einsum("kshw,shwc->kc", outside, features, precision="highest")
    return Prototypes(
        cells=unit(cells(features, config.window)),
        places=cells(where, config.window),
        foreground=foreground & roomy & counts[..., None],
        background=background & counts[..., None],
        foreground_mean=unit(means / area[..., None]),
        foreground_place=centroids,
        foreground_spread=(inside * from_centroids).sum(axis=(2, 3)) / area,
        has_foreground=inside.sum((2, 3)) > 0,
        background_mean=unit(rest / (outside.sum((1, 2, 3))[:, None] + AREA_FLOOR)),
        has_background=outside.sum((1, 2, 3)) > 0,
        position_weight=jnp.where(anywhere, 0.0, config.position_weight),
    )


def scores(
    features: Float[Array, "B h w C"], prototypes: Prototypes, config: ALPConfig
) -> tuple[Float[Array, "K B h w"], Float[Array, "K B h w"]]:
    """Score background and foreground. Their difference is the coarse logit.

    - Background: one softmax over the background cells of all entries.
    - Foreground: one softmax over the foreground cells and global prototypes of all entries (`ALPConfig.joint`). ALPNet
      has one softmax for each entry, and takes the maximum over entries.
    - Without any background cell, the mean feature of the background replaces them.
    - Without background (masks cover the images) its score is the lowest possible: everything is foreground.
    - Without foreground (empty masks) its score is the lowest possible: everything is background. Ties are background.
    """
    batch, height, width, channels = features.shape
    pixels = unit(features.astype(jnp.float32)).reshape(-1, channels)
    places = jnp.tile(centres(height, width).reshape(-1, 2), (batch, 1))
    at_once = max(1, min(len(pixels), AT_ONCE // prototypes.foreground.size))
    blocks = [
        jnp.pad(rows, ((0, -len(rows) % at_once), (0, 0))).reshape(-1, at_once, rows.shape[1])
        for rows in (pixels, places)
    ]
    found = lax.map(lambda block: _scores_of(block[0], block[1], prototypes, config), tuple(blocks))
    return tuple(
        jnp.moveaxis(score, 0, 1).reshape(len(score[0]), -1)[:, : len(pixels)].reshape(-1, batch, height, width)
        for score in found
    )


def _scores_of(
    pixels: Float[Array, "P C"], places: Float[Array, "P 2"], prototypes: Prototypes, config: ALPConfig
) -> tuple[Float[Array, "K P"], Float[Array, "K P"]]:
    """Return both scores of some pixels."""

    def similarity(axes: str, vectors: Array) -> Array:
        # Pixels come first: the other order would transpose all results.
        return config.scale * jnp.einsum(f"pc,{axes}c->{axes[:-1]}p{axes[-1]}", pixels, vectors, precision="highest")

    entries, number, channels = prototypes.cells.shape
    to_cells = similarity("n", prototypes.cells.reshape(-1, channels))
    to_means, to_rest = similarity("ks", prototypes.foreground_mean), similarity("k", prototypes.background_mean).T
    # |a - b|² as products: no array holds both coordinates of every pair.
    cell_places = jnp.tile(prototypes.places, (entries, 1))
    cell_distance = (places**2).sum(axis=-1)[:, None] + (cell_places**2).sum(axis=-1)
    cell_distance -= 2 * jnp.einsum("pd,nd->pn", places, cell_places, precision="highest")
    # A global prototype represents all of its foreground, not the centroid alone.
    mean_distance = ((prototypes.foreground_place[:, None] - places[:, None]) ** 2).sum(axis=-1)
    mean_distance = jnp.maximum(mean_distance - 2 * prototypes.foreground_spread[:, None], 0)
    lowest = jnp.float32(-config.scale - config.position_weight * FARTHEST)

    def of_class(known: tuple[Array, ...]) -> tuple[Array, Array]:
        weight, foreground, background, shown, any_background, to_means, to_rest, mean_distance = known
        means = to_means - weight * mean_distance
        local = (to_cells - weight * cell_distance).reshape(len(pixels), entries, number)
        # Both softmaxes share their exponentials, which are most of the work. None may vanish.
        highest = local.max(axis=-1)
        powers = jnp.exp(jnp.maximum(local - highest[..., None], LEAST))
        sides = jnp.stack([foreground, background], axis=-1).astype(jnp.float32)
        sums = jnp.einsum("psn,snd->psd", powers, sides, precision="highest")
        products = jnp.einsum("psn,snd->psd", powers * local, sides, precision="highest")

        shift = jnp.maximum(highest, means)
        if config.joint:
            shift = shift.max(axis=-1, keepdims=True)
        factor, mean = jnp.exp(highest - shift), jnp.where(shown, jnp.exp(means - shift), 0)
        of_entries = products[..., 0] * factor + mean * means, sums[..., 0] * factor + mean
        if config.joint:
            of_entries = tuple(value.sum(axis=-1, keepdims=True) for value in of_entries)
        inside = _ratio(*of_entries, otherwise=lowest)
        factor = jnp.exp(highest - highest.max(axis=-1, keepdims=True))
        outside = _ratio(
            (products[..., 1] * factor).sum(axis=-1), (sums[..., 1] * factor).sum(axis=-1), otherwise=to_rest
        )
        return jnp.where(any_background, outside, lowest), inside.max(axis=-1)

    sides = prototypes.foreground, prototypes.background, prototypes.has_foreground, prototypes.has_background
    return jax.vmap(of_class)((prototypes.position_weight, *sides, to_means, to_rest, mean_distance))


def _ratio(products: Array, sums: Array, *, otherwise: Array) -> Array:
    """Divide products by sums; `otherwise` stands for quotients by 0."""
    return jnp.where(sums > 0, products / jnp.where(sums > 0, sums, 1), otherwise)


def unit(vectors: Array) -> Array:
    """Scale vectors to length 1 along the last axis; very short ones stay short."""
    # The square root is taken last: the gradient of a norm is NaN at zero.
    squares = (vectors**2).sum(axis=-1, keepdims=True)
    return vectors / jnp.sqrt(jnp.maximum(squares, NORM_FLOOR**2))


def centres(height: int, width: int) -> Float[Array, "h w 2"]:
    """Return row and column of the centre of each pixel; the edges of the map are at -1 and 1."""
    axes = ((2 * jnp.arange(size) + 1) / size - 1 for size in (height, width))
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)


def cells(maps: Float[Array, "*b h w C"], window: int) -> Float[Array, "*b n C"]:
    """Average over adjacent windows and flatten them; incomplete windows at the lower and right edge are dropped."""
    *leading, height, width, channels = maps.shape
    rows, columns = height // window, width // window
    maps = maps[..., : rows * window, : columns * window, :]
    means = maps.reshape(*leading, rows, window, columns, window, channels).mean(axis=(-4, -2))
    return means.reshape(*leading, rows * columns, channels)


def on_grid(labels: Float[Array, "K S H W"], size: tuple[int, int], sampling: LabelSampling) -> Array:
    """Resize labels to the resolution of the features."""
    classes, entries, *before = labels.shape
    if tuple(before) == size:
        return labels
    maps = labels.reshape(classes * entries, *before, 1)
    if sampling is LabelSampling.NEAREST:
        maps = (resize_nearest(maps, size) > 0.5).astype(jnp.float32)
    else:
        maps = jax.image.resize(maps, (len(maps), *size, 1), "linear", antialias=True)
    return maps.reshape(classes, entries, *size)
