"""In-context test-time augmentation (Rakic et al., Tyche, CVPR 2024)."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.evaluate.data import Labelled, Pool
from universeg_jax.evaluate.methods import InContext
from universeg_jax.tasks.augment import Policy, augment_episode
from universeg_jax.tasks.augment.policy import Variation
from universeg_jax.typing import Array

INTENSITIES_ONLY = Policy(
    in_task=Variation(brightness_contrast=0.25, contrast=(0.5, 1.5), blur=0.25, noise=0.25, sharpness=0.25),
    flip_intensities=0.5,
)
"""The paper's in-task augmentation of intensities, and the inversion of all of them. Masks stay where they are, so
predictions need not be moved back."""


@dataclass(frozen=True, eq=False)
class TestTimeAugmentation:
    """The mean of the probabilities with targets and support augmented in several ways; the support is always the same.

    Args:
        base: the model.
        rounds: number of ways.
        policy: of the augmentation, which must leave labels alone.
    """

    __test__ = False  # its name makes pytest take it for a test

    base: InContext
    rounds: int
    policy: Policy = INTENSITIES_ONLY

    @property
    def name(self) -> str:
        return f"{self.base.name}, {self.rounds} augmentations"

    @property
    def identity(self) -> str:
        return f"{self.base.identity}, {self.rounds} augmentations by {self.policy}"

    def predict(self, rng: np.random.Generator, pool: Pool, support_size: int, targets: Array) -> np.ndarray:
        support = pool.first(support_size)
        keys = jax.random.split(jax.random.key(int(rng.integers(2**31))), self.rounds)
        return np.mean([self._one(key, support, targets) for key in keys], axis=0)

    def _one(self, key: Array, support: Labelled, targets: Array) -> np.ndarray:
        # To augmentation, targets are entries as those of the support are: each has a draw of its own.
        images = np.concatenate([targets, support.images])
        augmented = np.asarray(_augment(key, images, self.policy))
        changed = support._replace(images=augmented[len(targets) :])
        return self.base.segment(changed, augmented[: len(targets)])


@jax.jit
def _augment(key: Array, images: Array, policy: Policy) -> Array:
    labels = jnp.zeros_like(images)
    first, _, others, _ = augment_episode(key, images[0], labels[0], images[1:], labels[1:], policy=policy)
    return jnp.concatenate([first[None], others])
