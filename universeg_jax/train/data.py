"""Provide the episodes of a training run, for training and for validation."""

from pathlib import Path
from typing import Protocol

import jax

from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.data.corpus.select import refuse_held_out, split_tasks
from universeg_jax.data.episodes.draw import Episode, Episodes, EpisodeSource
from universeg_jax.data.episodes.stream import Batches, DealtSizes, Mixture, batches
from universeg_jax.data.episodes.superpixels import SuperpixelEpisodes
from universeg_jax.data.episodes.synthetic import SyntheticEpisodes
from universeg_jax.train.config import Stage, TrainConfig


class RunData(Protocol):
    """Episodes of a run."""

    def source(self, stage: Stage) -> EpisodeSource:
        """Return the training episodes of a stage."""
        ...

    def batches(self, stage: Stage, *, start: int) -> Batches:
        """Iterate over the batches of a stage from batch `start`, with the share of this process."""
        ...

    def validation_episodes(self, stage: Stage) -> dict[CorpusTask, list[Episode]]:
        """Return the validation episodes of each task, the same at every call."""
        ...


class TrainingData:
    """Episodes of a prepared corpus. Most tasks are for training, the others for validation.

    Args:
        config: the run.
        corpus: folder of a prepared corpus.

    Attributes:
        training, validation: the tasks of each part.
        fingerprints: fingerprint of each dataset of the corpus, by name.

    Raises:
        InputError: the corpus is unreadable, lacks the resolution of a stage, or holds a held-out dataset.
    """

    def __init__(self, config: TrainConfig, corpus: Path | str):
        self._config, self._folder = config, corpus
        for stage in config.stages[::-1]:
            opened = Corpus(corpus, resolution=stage.size)
        tasks = opened.tasks
        self.fingerprints = {name: opened.about[name]["fingerprint"] for name in opened.datasets}
        self.training, self.validation = split_tasks(
            tasks, validation=config.validation, training=config.training, seed=config.seed
        )
        refuse_held_out(self.training, config.held_out)
        self._sources: dict[Stage, EpisodeSource] = {}

    def source(self, stage: Stage) -> EpisodeSource:
        """Return the training episodes of a stage."""
        if stage not in self._sources:
            corpus = Corpus(self._folder, resolution=stage.size)
            if stage.support_deck:
                sources = {size: self._mixture(corpus, stage.size, size) for size in stage.support_lengths}
                deck, seed = stage.support_deck, self._config.seed
                self._sources[stage] = DealtSizes(sources, deck, batch_size=stage.batch_size, seed=seed)
            else:
                self._sources[stage] = self._mixture(corpus, stage.size, stage.support_size)
        return self._sources[stage]

    def _mixture(self, corpus: Corpus, size: int, support_size: int | tuple[int, int]) -> Mixture:
        """Mix episodes of the corpus, of synthetic tasks and of superpixels in their shares."""
        config = self._config
        most = support_size if isinstance(support_size, int) else support_size[1]
        real = Episodes(
            corpus,
            seed=config.seed,
            support_size=support_size,
            tasks=self.training,
            split=config.split,
            held_out=config.held_out,
            support_split=config.split,
            minimum_area=config.minimum_area,
            minimum_support=config.minimum_support,
            unions=config.unions,
        )
        shares: list[tuple[float, EpisodeSource]] = [(1 - config.synthetic - config.superpixels, real)]
        if config.synthetic:
            drawn = SyntheticEpisodes(
                seed=config.seed,
                support_size=most,
                size=size,
                outlined=config.outlined,
                walled=config.walled,
            )
            shares.append((config.synthetic, drawn))
        if config.superpixels:
            made = SuperpixelEpisodes(
                corpus,
                seed=config.seed,
                support_size=most,
                tasks=self.training,
                split=config.split,
                held_out=config.held_out,
            )
            shares.append((config.superpixels, made))
        return Mixture([share for share in shares if share[0] > 1e-9])

    def batches(self, stage: Stage, *, start: int) -> Batches:
        """Iterate over the batches of a stage from batch `start`, with the share of this process."""
        return own_batches(self.source(stage), stage, start=start, workers=self._config.workers)

    def validation_episodes(self, stage: Stage) -> dict[CorpusTask, list[Episode]]:
        """Return the validation episodes of each task, the same at every call. Targets are from the test split.

        Tasks without a target or without support examples are skipped.
        """
        corpus = Corpus(self._folder, resolution=stage.size)
        tasks = [
            t for t in self.validation if all(corpus.examples(t, s, minimum_area=0.001) for s in ("test", "train"))
        ]
        if not tasks:
            return {}
        seed, most = self._config.seed, stage.support_sizes[1]
        found = {}
        for task in tasks:
            of_task = Episodes(corpus, tasks=[task], seed=seed, split="test", support_size=most)
            found[task] = [of_task[i] for i in range(self._config.validation_episodes)]
        return found


def own_batches(source: EpisodeSource, stage: Stage, *, start: int, workers: int = 0) -> Batches:
    """Iterate over the batches of a source from batch `start`, with the share of this process."""
    return batches(
        source,
        batch_size=stage.batch_size,
        start=start,
        host=jax.process_index(),
        hosts=jax.process_count(),
        workers=workers,
    )
