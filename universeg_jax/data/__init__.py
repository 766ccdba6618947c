"""Corpora, and the episodes that networks learn from."""

from typing import TYPE_CHECKING

from universeg_jax.util.imports import lazy_names

# Editors and type checkers read the first branch, Python the second. A test compares them.
if TYPE_CHECKING:
    from universeg_jax.data.augment.augment import Policy as Policy
    from universeg_jax.data.augment.augment import augment_episodes as augment_episodes
    from universeg_jax.data.corpus.prepare import prepare as prepare
    from universeg_jax.data.corpus.read import Corpus as Corpus
    from universeg_jax.data.episodes.draw import Episode as Episode
    from universeg_jax.data.episodes.draw import Episodes as Episodes
    from universeg_jax.data.episodes.stream import Mixture as Mixture
    from universeg_jax.data.episodes.stream import batches as batches
    from universeg_jax.data.episodes.superpixels import SuperpixelEpisodes as SuperpixelEpisodes
    from universeg_jax.data.episodes.synthetic import SyntheticEpisodes as SyntheticEpisodes
    from universeg_jax.data.readers.detect import find_sources as find_sources
    from universeg_jax.data.stacks import SliceStack as SliceStack
    from universeg_jax.data.stacks import read_stacks as read_stacks
else:
    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "augment.augment": ("Policy", "augment_episodes"),
            "corpus.prepare": ("prepare",),
            "corpus.read": ("Corpus",),
            "episodes.draw": ("Episode", "Episodes"),
            "episodes.stream": ("Mixture", "batches"),
            "episodes.superpixels": ("SuperpixelEpisodes",),
            "episodes.synthetic": ("SyntheticEpisodes",),
            "readers.detect": ("find_sources",),
            "stacks": ("SliceStack", "read_stacks"),
        },
    )
