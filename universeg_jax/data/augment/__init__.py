"""Augment episodes: `augment_episodes(key, episodes, policy=Policy.universeg())`."""

from universeg_jax.data.augment.augment import Policy, Variation, augment_episode, augment_episodes

__all__ = ["Policy", "Variation", "augment_episode", "augment_episodes"]
