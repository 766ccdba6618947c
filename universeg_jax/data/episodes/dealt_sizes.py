"""Change the support size of episodes from batch to batch."""

from collections.abc import Mapping, Sequence

import numpy as np

from universeg_jax.data.episodes.draw import Episode, EpisodeSource, checked_number
from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_number


class DealtSizes:
    """Episodes with one support size in each batch. Sizes are dealt like cards, so no entry of a support is padding.

    A round deals the whole deck in random order, one size to each batch. The size is a function of seed and number, so
    all hosts see the same size in a batch.

    Args:
        sources: a source of the same tasks for each size.
        deck: sizes of a round. A size that is named twice comes twice as often.
        batch_size: episodes of a batch on all hosts together, as for `batches`.
        seed: of the order.

    Attributes:
        tasks: tasks of the sources.

    Raises:
        InputError: the deck is empty, a size has no source, sources differ in their tasks, or batch_size is below 1.
    """

    def __init__(self, sources: Mapping[int, EpisodeSource], deck: Sequence[int], *, batch_size: int, seed: int):
        check_number("batch_size", batch_size, least=1, whole=True)
        if not deck or not set(deck) <= sources.keys():
            raise InputError(f"deck={tuple(deck)}: pass one or more of the sizes of the sources, {sorted(sources)}")
        self._sources, self._deck, self._batch_size, self._seed = dict(sources), tuple(deck), batch_size, seed
        self.tasks = self._sources[self._deck[0]].tasks
        if any(source.tasks != self.tasks for source in sources.values()):
            raise InputError("sources: differ in their tasks; pass sources that differ in the support size only")

    def __len__(self) -> int:
        return min(len(source) for source in self._sources.values())

    def __getitem__(self, number: int) -> Episode:
        return self._sources[self._size_of(checked_number(number) // self._batch_size)][number]

    def _size_of(self, batch: int) -> int:
        rounds, place = divmod(batch, len(self._deck))
        order = np.random.default_rng((self._seed, rounds)).permutation(len(self._deck))
        return self._deck[order[place]]
