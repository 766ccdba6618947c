"""Mix sources of episodes, change their support size from batch to batch, and stream batches on any number of hosts."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

import grain
import numpy as np
from absl import flags

from universeg_jax.data.episodes.draw import NUMBER, Episode, EpisodeSource, checked_number
from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_number


class Mixture:
    """Episodes of several sources, each in its share: `Mixture([(0.75, real), (0.25, synthetic)])`.

    Every stretch of the stream keeps the shares. The episodes of each source come in their order, without gaps.

    Args:
        parts: pairs of relative weight and source.

    Attributes:
        tasks: tasks of all sources, one source after the other.

    Raises:
        InputError: there are no parts, a weight is not positive, or episodes differ in shape.
    """

    def __init__(self, parts: Sequence[tuple[float, EpisodeSource]]):
        weights = [weight for weight, _ in parts]
        if not parts or min(weights) <= 0:
            raise InputError(f"weights={weights}: pass one or more positive weights of a mixture")
        _check_shapes([source for _, source in parts])
        self.tasks = tuple(task for _, source in parts for task in source.tasks)
        datasets, before = [], 0
        for _, source in parts:
            datasets.append(grain.MapDataset.source(source).map(partial(_shift_task, before)))
            before += len(source.tasks)
        self._episodes = grain.MapDataset.mix(datasets, weights)

    def __len__(self) -> int:
        return min(len(self._episodes), NUMBER)

    def __getitem__(self, number: int) -> Episode:
        if not 0 <= number < len(self):
            raise IndexError(f"episodes are numbered from 0 to {len(self) - 1}, not {number}")
        return self._episodes[number]._replace(number=np.int32(number))


class Batches(Protocol):
    """Iterator over batches of episodes. `close` ends the processes that read ahead."""

    def __iter__(self) -> Iterator[Episode]: ...

    def __next__(self) -> Episode: ...

    def close(self) -> None: ...


def batches(
    source: EpisodeSource, *, batch_size: int, start: int = 0, host: int = 0, hosts: int = 1, workers: int = 0
) -> grain.DatasetIterator[Episode]:
    """Iterate over the batches of this host from batch `start`: `for batch in batches(source, batch_size=8)`.

    Batch i holds the episodes from i * `batch_size`, for any number of hosts. Host h takes every `hosts`-th of them,
    from the h-th.

    The iterator has `get_state()` and `set_state(state)`. `grain.checkpoint.CheckpointSave` and `CheckpointRestore`
    store it with a model. A state counts the episodes of all hosts, so it fits any number of hosts and workers. Orbax
    keeps one file for each host, so pass `start` to resume with another number of hosts.

    Args:
        source: source of the episodes.
        batch_size: episodes of all hosts together.
        start: number of the first batch.
        host, hosts: `jax.process_index()` and `jax.process_count()`.
        workers: number of processes that read ahead; 0 for threads. They are spawned, so a script needs
            `if __name__ == "__main__":`. `close()` ends them.

    Raises:
        InputError: hosts cannot share a batch evenly, or an option is out of range.
    """
    if hosts < 1 or batch_size < 1 or batch_size % hosts:
        raise InputError(f"batch_size={batch_size}: pass a multiple of the number of hosts, {hosts}")
    if not 0 <= host < hosts:
        raise InputError(f"host={host}: pass 0 to {hosts - 1} for {hosts} hosts")
    if workers < 0:
        raise InputError(f"workers={workers}: pass 0 or more")
    if not 0 <= start < len(source) // batch_size:
        raise InputError(f"start={start}: pass the number of a batch, 0 to {len(source) // batch_size - 1}")
    if workers and not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain 0.2.18 reads a flag that programs without absl.app never parse
    stream = iter(
        grain.experimental.ElasticIterator(
            grain.MapDataset.source(source),
            batch_size,
            grain.sharding.ShardOptions(shard_index=host, shard_count=hosts),
            read_options=grain.ReadOptions(num_threads=2, prefetch_buffer_size=2),  # the default would hold 500 batches
            multiprocessing_options=grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2),
        )
    )
    stream.set_state({"global_next_index": start * batch_size})
    return stream


def _shift_task(before: int, episode: Episode) -> Episode:
    return episode._replace(task=np.int32(episode.task + before))


def _check_shapes(sources: Sequence[EpisodeSource]) -> None:
    shapes = [source[0].support_images.shape for source in sources]
    if len(set(shapes)) > 1:
        raise InputError(
            f"support images are {' and '.join(map(str, dict.fromkeys(shapes)))}: mix sources of the same resolution "
            "and the same largest support_size"
        )


class DealtSizes:
    """Episodes with one support size in each batch. Sizes are dealt like cards, so no entry of a support is padding.

    A round deals the whole deck in random order, one size to each batch. The size is a function of seed and number, so
    all hosts see the same size in a batch.

    Args:
        sources: a source of the same tasks for each size.
        deck: sizes of a round. A size that is named twice comes twice as often.
        batch_size: episodes of a batch on all hosts together, as for `batches`.
        seed: seed of the order.

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
