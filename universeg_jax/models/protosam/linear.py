"""Linear classifier of features, fitted to the support by ridge regression and added to the prototypes' scores.

Prototypes compare all channels equally. The classifier weights channels by how well they separate the classes of this
task. Its input x has three parts: the unit vector of a feature minus the mean of the support, a constant, and terms of
the position (row, column, their squares and product) with a small factor. Its weights are

    w = argmin sum_i c_i (w·x_i - y_i)² / sum_i c_i + ridge s |w|²,    y_i = 2 f_i - 1

over the cells i of the support. f_i is the foreground fraction of a cell, and s the mean square of the entries of x.
Half of c_i is the same for all cells. The other half gives the cells with a majority of foreground about the same sum
as all other cells. If no cell has such a majority, all cells have the same weight.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from universeg_jax.models.protosam.alp import AREA_FLOOR, cells, centres, on_grid, unit
from universeg_jax.models.protosam.config import ALPConfig, LinearConfig
from universeg_jax.shapes import Array, Bool, Float

CONSTANT = 0.3  # constant entry of x; a small one makes a large offset costly


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LinearClassifier:
    """Classifier of K classes.

    Attributes:
        mean: (K,C) mean feature of the support.
        weights: (K,C+6).
        position: (K,) factor of the position's terms.
    """

    mean: Float[Array, "K C"]
    weights: Float[Array, "K D"]
    position: Float[Array, " K"]


def fit_linear(
    features: Float[Array, "S h w C"],
    labels: Float[Array, "K S H W"],
    counts: Bool[Array, "K S"],
    anywhere: Bool[Array, " K"],
    alp: ALPConfig,
    config: LinearConfig,
) -> LinearClassifier:
    """Fit one classifier for each class; the arguments are as in `alp.prototypes`."""
    features = features.astype(jnp.float32)
    size = features.shape[1:3]
    values = cells(features, alp.window)
    where = cells(centres(*size), alp.window)
    fractions = cells(on_grid(labels.astype(jnp.float32), size, alp.label_sampling)[..., None], alp.window)[..., 0]
    position = jnp.where(anywhere, 0.0, config.position)

    def fit(given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        fraction, count, factor = given
        counted = jnp.broadcast_to(count.astype(jnp.float32)[:, None], fraction.shape)
        total = counted.sum() + AREA_FLOOR
        mean = jnp.einsum("sn,snc->c", counted, values, precision="highest") / total
        x = _described(values, where, mean, factor)
        inside = (fraction * counted).sum()
        of_class = jnp.where(fraction > 0.5, 0.5 / (inside + AREA_FLOOR), 0.5 / (total - inside + AREA_FLOOR))
        even = of_class * counted / ((of_class * counted).sum() + AREA_FLOOR)
        weight = (even + counted / total) / 2
        square = jnp.einsum("sn,snd,sne->de", weight, x, x, precision="highest")
        towards = jnp.einsum("sn,snd->d", weight * (2 * fraction - 1), x, precision="highest")
        damping = config.ridge * jnp.trace(square) / len(square)
        return mean, jax.scipy.linalg.solve(square + damping * jnp.eye(len(square)), towards, assume_a="pos")

    mean, weights = lax.map(fit, (fractions, counts, position))
    return LinearClassifier(mean, weights, position)


def linear_scores(features: Float[Array, "B h w C"], known: LinearClassifier) -> Float[Array, "K B h w"]:
    """Score every feature for every class, about 1 for foreground and -1 for background."""
    features, where = features.astype(jnp.float32), centres(*features.shape[1:3])

    def of_class(given: LinearClassifier) -> Array:
        x = _described(features, where, given.mean, given.position)
        return jnp.einsum("bhwd,d->bhw", x, given.weights, precision="highest")

    return lax.map(of_class, known)


def _described(values: Array, where: Array, mean: Array, position: Array) -> Array:
    """Build the inputs x (*b,C+6) from features (*b,C) at places (…,2)."""
    y, x = where[..., 0], where[..., 1]
    terms = jnp.stack([y, x, y * y, x * x, y * x], axis=-1) * position
    terms = jnp.concatenate([jnp.full_like(terms[..., :1], CONSTANT), terms], axis=-1)
    return jnp.concatenate([unit(values - mean), jnp.broadcast_to(terms, (*values.shape[:-1], 6))], axis=-1)
