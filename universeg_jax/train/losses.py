"""Losses: soft Dice and cross-entropy of binary segmentation, and the losses of ALPNet.

The losses of ALPNet (Ouyang et al., ECCV 2020) take features of one support image and one query image. The head is
`models.protosam.alp`. All of it is differentiable in the features.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from universeg_jax.models.protosam.alp import prototypes, scores
from universeg_jax.models.protosam.config import ALPConfig, LabelSampling
from universeg_jax.nn.resample import resize_linear
from universeg_jax.shapes import Array, Float

SMOOTHING = 1e-7  # from the loss library of the UniverSeg authors


def soft_dice_loss(logits: Float[Array, "B H W 1"], labels: Float[Array, "B H W 1"]) -> Float[Array, " B"]:
    """Return one minus the soft Dice score of each image (Milletari et al., V-Net, 2016).

    The loss is 1 - (2 sum(p y) + e) / (sum(p^2) + sum(y^2) + e), for probabilities p and labels y in [0,1].
    """
    probabilities = jax.nn.sigmoid(logits.astype(jnp.float32))
    labels = labels.astype(jnp.float32)
    axes = (1, 2, 3)
    overlap = 2 * (probabilities * labels).sum(axes)
    total = (probabilities**2).sum(axes) + (labels**2).sum(axes)
    return 1 - (overlap + SMOOTHING) / (total + SMOOTHING)


def cross_entropy_loss(logits: Float[Array, "B H W 1"], labels: Float[Array, "B H W 1"]) -> Float[Array, " B"]:
    """Return the binary cross-entropy of each image, in nats: the mean over its pixels."""
    entropy = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), labels.astype(jnp.float32))
    return entropy.mean((1, 2, 3))


BACKGROUND_WEIGHT = 0.05
"""Weight of background pixels in the cross-entropy of the query; foreground pixels have weight 1."""

ALIGNMENT_BLOCK = 4
"""Side of the block, in features, that must be foreground for local prototypes of the alignment loss."""


class ALPLoss(NamedTuple):
    """Losses and Dice of one episode."""

    query: Float[Array, ""]
    alignment: Float[Array, ""]
    dice: Float[Array, ""]


def training_config(grid: int, *, cells: int = 8) -> ALPConfig:
    """Return ALPNet's options in training, for features of grid x grid: windows that divide them into cells x cells."""
    return ALPConfig(
        window=max(1, grid // cells),
        purity=0.95,
        foreground_grid=cells,
        label_sampling=LabelSampling.NEAREST,
        position_weight=0.0,
    )


def validation_config() -> ALPConfig:
    """Return ALPNet's options in validation: windows of 2 x 2 features."""
    return ALPConfig(
        window=2, purity=0.95, foreground_grid=8, label_sampling=LabelSampling.NEAREST, position_weight=0.0
    )


def alp_loss(
    support: Float[Array, "h w C"],
    query: Float[Array, "h w C"],
    support_label: Float[Array, "H W"],
    query_label: Float[Array, "H W"],
    config: ALPConfig,
) -> ALPLoss:
    """Return the losses of one episode.

    The query loss is the weighted cross-entropy of the query at full resolution. For the alignment loss the roles are
    swapped: the predicted mask of the query, at the resolution of the features, makes prototypes that segment the
    support. It is 0 if the prediction is empty.

    Args:
        support, query: features of the two images.
        support_label, query_label: masks of 0 and 1.
        config: options of the head, such as `training_config`.
    """
    background, foreground = alp_scores(support, support_label, query, config)
    logits = _resized(background, foreground, query_label.shape)
    entropy = weighted_cross_entropy(logits, query_label, background=BACKGROUND_WEIGHT)
    predicted = (foreground > background).astype(jnp.float32)
    aligned = replace(config, foreground_grid=max(1, min(support.shape[:2]) // ALIGNMENT_BLOCK))
    swapped = _resized(*alp_scores(query, predicted, support, aligned), support_label.shape)
    alignment = weighted_cross_entropy(swapped, support_label, background=1.0)
    alignment = jnp.where(predicted.any(), alignment, 0.0)
    mask = logits[1] > logits[0]
    dice = 2 * (mask * query_label).sum() / jnp.maximum(mask.sum() + query_label.sum(), 1)
    return ALPLoss(entropy, alignment, dice)


def alp_scores(
    support: Float[Array, "h w C"], label: Float[Array, "H W"], query: Float[Array, "h w C"], config: ALPConfig
) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Return the scores of background and foreground of one query from one support image."""
    certain = jnp.ones((1, 1), bool)
    known = prototypes(support[None], label[None, None], certain, jnp.ones(1, bool), config)
    background, foreground = scores(query[None], known, config)
    return background[0, 0], foreground[0, 0]


def weighted_cross_entropy(
    logits: Float[Array, "2 H W"], label: Float[Array, "H W"], *, background: float
) -> Float[Array, ""]:
    """Return the weighted mean of the cross-entropy over pixels, as `torch.nn.CrossEntropyLoss(weight=...)`.

    Args:
        logits: logits of background and foreground.
        label: 0 and 1.
        background: weight of background pixels; foreground pixels have weight 1.
    """
    inside = label > 0.5
    of_background, of_foreground = jax.nn.log_softmax(logits, axis=0)
    entropy = -jnp.where(inside, of_foreground, of_background)
    weight = jnp.where(inside, 1.0, background)
    return (weight * entropy).sum() / weight.sum()


def _resized(background: Array, foreground: Array, size: tuple[int, int]) -> Float[Array, "2 H W"]:
    return resize_linear(jnp.stack([background, foreground])[..., None], size)[..., 0]
