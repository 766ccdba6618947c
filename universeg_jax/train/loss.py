"""Losses of a segmentation, from logits."""

import jax
import jax.numpy as jnp
import optax

from universeg_jax.typing import Array, Float, typed

SMOOTHING = 1e-7  # of the authors' loss library


@typed
def soft_dice_loss(logits: Float[Array, "B H W 1"], labels: Float[Array, "B H W 1"]) -> Float[Array, " B"]:
    """One minus the soft Dice score, with squares in the denominator (Milletari et al., V-Net, 2016).

    1 - (2 sum(p y) + e) / (sum(p^2) + sum(y^2) + e) of the probabilities p and labels y in [0,1], for each image.
    """
    probabilities = jax.nn.sigmoid(logits.astype(jnp.float32))
    labels = labels.astype(jnp.float32)
    axes = (1, 2, 3)
    overlap = 2 * (probabilities * labels).sum(axes)
    total = (probabilities**2).sum(axes) + (labels**2).sum(axes)
    return 1 - (overlap + SMOOTHING) / (total + SMOOTHING)


@typed
def cross_entropy_loss(logits: Float[Array, "B H W 1"], labels: Float[Array, "B H W 1"]) -> Float[Array, " B"]:
    """Binary cross-entropy, the mean over the pixels of each image, in nats."""
    entropy = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), labels.astype(jnp.float32))
    return entropy.mean((1, 2, 3))
