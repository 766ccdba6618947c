"""Losses of binary segmentation: soft Dice and cross-entropy."""

import jax
import jax.numpy as jnp
import optax

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
