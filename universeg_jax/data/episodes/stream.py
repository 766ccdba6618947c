"""Streams of batches: several sources mixed, on several hosts, read by worker processes, stopped and taken up."""

from collections.abc import Sequence
from functools import partial

import grain
import numpy as np
from absl import flags

from universeg_jax.data.episodes.draw import NUMBER, Episode, EpisodeSource
from universeg_jax.errors import InputError


class Mixture:
    """Episodes of several sources, each in its share: `Mixture([(0.75, real), (0.25, synthetic)])`.

    The shares are kept evenly, in every stretch of the stream. Of each source the episodes come in their order, none
    left out.

    Args:
        parts: weight and source of each; weights are relative.

    Attributes:
        tasks: those of all sources, one source after the other.

    Raises:
        InputError: no parts, a weight that is not positive, episodes of different shapes.
    """

    def __init__(self, parts: Sequence[tuple[float, EpisodeSource]]):
        weights = [weight for weight, _ in parts]
        if not parts or min(weights) <= 0:
            raise InputError(f"the weights of a mixture are {weights}: pass one or more, all positive")
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


def batches(
    source: EpisodeSource, *, batch_size: int, start: int = 0, host: int = 0, hosts: int = 1, workers: int = 0
) -> grain.DatasetIterator[Episode]:
    """The batches of this host, from batch `start` on: `for batch in batches(source, batch_size=8)`.

    Batch i is the episodes from i * `batch_size` on, however many hosts share them; host h takes every `hosts`-th of
    them from the h-th. The iterator has `get_state()` and `set_state(state)`, and is saved and restored with a model by
    `grain.checkpoint.CheckpointSave` and `CheckpointRestore`. A state counts the episodes of all hosts, so it fits any
    number of hosts and workers; but Orbax keeps a file for each host, so to go on with others of them pass `start`.

    Args:
        batch_size: episodes of all hosts together.
        host, hosts: `jax.process_index()` and `jax.process_count()`.
        workers: processes that read ahead, 0 for threads of this one. They are spawned, so a script that asks for them
            needs `if __name__ == "__main__":`; `close()` ends them, as does leaving the function that holds the
            iterator; those that live until Python exits make grain complain.

    Raises:
        InputError: a batch that hosts cannot share evenly, an option out of range.
    """
    if hosts < 1 or batch_size < 1 or batch_size % hosts:
        raise InputError(f"batch_size={batch_size}: {hosts} hosts must have one or more episodes each, all as many")
    if not 0 <= host < hosts:
        raise InputError(f"host={host}: {hosts} hosts are numbered from 0 to {hosts - 1}")
    if workers < 0:
        raise InputError(f"workers={workers}: pass 0 or more")
    if not 0 <= start < len(source) // batch_size:
        raise InputError(f"start={start}: batches are numbered from 0 to {len(source) // batch_size - 1}")
    if workers and not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain 0.2.18 reads one of its flags before programs without absl.app parse them
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
            f"support images are {' and '.join(map(str, dict.fromkeys(shapes)))}: episodes that are mixed must agree "
            "in resolution and in the largest support_size"
        )
