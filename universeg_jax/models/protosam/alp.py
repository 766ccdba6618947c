"""Adaptive local prototypes (ALP): a coarse segmentation from the features of a few labelled images.

The features of the support are averaged over small windows, the cells. A cell that lies in the foreground is a local
prototype of it, one that lies outside of the background; the mean feature of the foreground is its global
prototype. A pixel of a target scores for a class the softmax-weighted mean of its similarities d to the prototypes:

    score = sum_p softmax(d)_p d_p,    d_p = scale * cos(feature, prototype_p)

Which cells are prototypes depends on the labels. Here all cells are always there and those that are none get -inf in
the softmax, so shapes are fixed and everything compiles. The global prototype is one more entry of the same
softmax; where it is the only one, the score is d itself.

ALPNet knows no positions; here the squared distance to where a prototype comes from can be taken from d, with a weight.

Ouyang et al., "Self-supervision with superpixels", ECCV 2020 (ALPNet), section 3.3; Ayzenberg et al., 2024 (ProtoSAM).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from universeg_jax.models.protosam.config import ALPConfig, LabelSampling
from universeg_jax.nn.resample import resize_nearest
from universeg_jax.shapes import Array, Bool, Float, typed

NORM_FLOOR = 1e-4  # of a feature's length, before it is divided by it (ALPNet)
AREA_FLOOR = 1e-5  # of a mask's area, before a mean is divided by it (ALPNet)
FARTHEST = 8.0  # the squared distance of two corners
AT_ONCE = 1 << 24  # similarities held in memory, 64 MB


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prototypes:
    """What a support set of S entries says of K classes; n cells in each entry, C features.

    Attributes:
        cells: (S,n,C) mean features of the cells, of unit length; shared by all classes.
        places: (n,2) their centres, row and column, from -1 to 1.
        foreground: (K,S,n), True for local prototypes of the foreground.
        background: (K,S,n), True for local prototypes of the background.
        foreground_mean: (K,S,C) global prototype of each entry, of unit length.
        foreground_place: (K,S,2) centroid of each entry's foreground.
        foreground_spread: (K,S) mean squared distance of the foreground from it.
        has_foreground: (K,S), False for an entry without foreground, or one that does not count.
        background_mean: (K,C) mean feature of the background of all entries, of unit length.
        has_background: (K,), False where no entry that counts has background.
        position_weight: (K,) of the squared distance to a prototype's place.
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
    """Find the prototypes of a task; it can be compiled, `config` being static.

    Args:
        features: of the support images.
        labels: of the support images, in [0,1], at any resolution that is not below that of the features.
        counts: which entries count for which class; the others change nothing.
        anywhere: classes of structures that may be anywhere; positions have no weight for them.

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


@typed
def scores(
    features: Float[Array, "B h w C"], prototypes: Prototypes, config: ALPConfig
) -> tuple[Float[Array, "K B h w"], Float[Array, "K B h w"]]:
    """Scores of background and foreground; their difference is the coarse logit. They can be compiled, `config` static.

    - Background: one softmax over the background cells of all entries.
    - Foreground: one softmax for each entry, over its cells and its global prototype; the largest of the entries.
    - Without any background cell, the mean feature of the background takes their place.
    - Without background (the masks cover the images) its score is the lowest there is: all becomes foreground; without
      foreground (empty masks) that of the foreground is: all becomes background, and ties are background too.
    """
    batch, height, width, channels = features.shape
    pixels = unit(features.astype(jnp.float32)).reshape(-1, channels)
    places = jnp.tile(centres(height, width).reshape(-1, 2), (batch, 1))
    similarities = prototypes.foreground.size + prototypes.foreground_mean.shape[1]
    at_once = max(1, min(len(pixels), AT_ONCE // similarities))
    found = lax.map(lambda pixel: _scores_of(*pixel, prototypes, config), (pixels, places), batch_size=at_once)
    return tuple(jnp.moveaxis(score.reshape(batch, height, width, -1), -1, 0) for score in found)


def _scores_of(
    pixel: Float[Array, " C"], place: Float[Array, " 2"], prototypes: Prototypes, config: ALPConfig
) -> tuple[Array, Array]:
    """Scores (K,) of one pixel."""

    def similarity(axes: str, vectors: Array) -> Array:
        return config.scale * jnp.einsum(f"{axes}c,c->{axes}", vectors, pixel, precision="highest")

    to_cells, to_means = similarity("sn", prototypes.cells), similarity("ks", prototypes.foreground_mean)
    to_rest = similarity("k", prototypes.background_mean)
    cell_distance = ((prototypes.places - place) ** 2).sum(axis=-1)
    # A global prototype stands for all of its foreground, not for the centroid alone.
    mean_distance = ((prototypes.foreground_place - place) ** 2).sum(axis=-1) - 2 * prototypes.foreground_spread
    mean_distance = jnp.maximum(mean_distance, 0)
    lowest = jnp.float32(-config.scale - config.position_weight * FARTHEST)
    weight = prototypes.position_weight[:, None]
    means = to_means - weight * mean_distance
    local = to_cells - weight[..., None] * cell_distance

    everywhere = local.reshape(len(local), -1)
    background = _masked_mean(everywhere, prototypes.background.reshape(everywhere.shape), otherwise=to_rest)
    entries = _masked_mean(
        jnp.concatenate([local, means[..., None]], axis=-1),
        jnp.concatenate([prototypes.foreground, prototypes.has_foreground[..., None]], axis=-1),
        otherwise=lowest,
    )
    return jnp.where(prototypes.has_background, background, lowest), entries.max(axis=1)


def _masked_mean(similarities: Float[Array, "*k n"], valid: Bool[Array, "*k n"], *, otherwise: Array) -> Array:
    """sum_p softmax(d)_p d_p over the valid entries of the last axis; `otherwise` where there are none."""
    some = valid.any(axis=-1, keepdims=True)
    logits = jnp.where(valid | ~some, similarities, -jnp.inf)  # a row without valid entries would give NaN
    return jnp.where(some[..., 0], (jax.nn.softmax(logits, axis=-1) * similarities).sum(axis=-1), otherwise)


def unit(vectors: Array) -> Array:
    """Vectors of length 1, along the last axis; very short ones stay short."""
    return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), NORM_FLOOR)


def centres(height: int, width: int) -> Float[Array, "h w 2"]:
    """Row and column of the centre of each pixel, from -1 at the outer edge to 1."""
    axes = ((2 * jnp.arange(size) + 1) / size - 1 for size in (height, width))
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)


def cells(maps: Float[Array, "*b h w C"], window: int) -> Float[Array, "*b n C"]:
    """Means over windows side by side, flattened; what fills no window at the lower and right edge is left out."""
    *leading, height, width, channels = maps.shape
    rows, columns = height // window, width // window
    maps = maps[..., : rows * window, : columns * window, :]
    means = maps.reshape(*leading, rows, window, columns, window, channels).mean(axis=(-4, -2))
    return means.reshape(*leading, rows * columns, channels)


def on_grid(labels: Float[Array, "K S H W"], size: tuple[int, int], sampling: LabelSampling) -> Array:
    """Labels at the resolution of the features."""
    classes, entries, *before = labels.shape
    if tuple(before) == size:
        return labels
    maps = labels.reshape(classes * entries, *before, 1)
    if sampling is LabelSampling.NEAREST:
        maps = (resize_nearest(maps, size) > 0.5).astype(jnp.float32)
    else:
        maps = jax.image.resize(maps, (len(maps), *size, 1), "linear", antialias=True)
    return maps.reshape(classes, entries, *size)
