"""Augmentation of episodes: `augment_episodes(key, episodes, policy=Policy.universeg())`."""

from universeg_jax.tasks.augment.episode import augment_episode, augment_episodes
from universeg_jax.tasks.augment.policy import Policy, Variation

__all__ = ["Policy", "Variation", "augment_episode", "augment_episodes"]
