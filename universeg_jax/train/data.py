"""The episodes of a training run: to learn from, and to validate on."""

from collections.abc import Iterator
from pathlib import Path

import jax

from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.data.corpus.select import refuse_held_out, split_tasks
from universeg_jax.data.episodes.draw import Episode, Episodes, EpisodeSource
from universeg_jax.data.episodes.stream import Mixture, batches
from universeg_jax.data.episodes.superpixels import SuperpixelEpisodes
from universeg_jax.data.episodes.synthetic import SyntheticEpisodes
from universeg_jax.train.config import Stage, TrainConfig


class TrainingData:
    """What a corpus gives a run: episodes of most of its tasks to learn from, the other tasks to validate on.

    Args:
        corpus: folder of a prepared corpus.

    Attributes:
        training, validation: the tasks.
        fingerprints: of the datasets of the corpus, by name.

    Raises:
        InputError: a corpus that cannot be read or lacks the resolution of a stage, a held-out dataset in it.
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
        self._sources = {}

    def source(self, stage: Stage) -> EpisodeSource:
        """Episodes to learn from."""
        if stage not in self._sources:
            config, corpus = self._config, Corpus(self._folder, resolution=stage.size)
            most = stage.support_sizes[1]
            common = dict(tasks=self.training, split=config.split, held_out=config.held_out)
            real = Episodes(
                corpus,
                seed=config.seed,
                support_size=stage.support_size,
                support_split=config.split,
                minimum_area=config.minimum_area,
                minimum_support=config.minimum_support,
                unions=config.unions,
                **common,
            )
            shares = [(1 - config.synthetic - config.superpixels, real)]
            if config.synthetic:
                options = dict(size=stage.size, outlined=config.outlined, walled=config.walled)
                shares.append((config.synthetic, SyntheticEpisodes(seed=config.seed, support_size=most, **options)))
            if config.superpixels:
                made = SuperpixelEpisodes(corpus, seed=config.seed, support_size=most, **common)
                shares.append((config.superpixels, made))
            self._sources[stage] = Mixture([share for share in shares if share[0] > 1e-9])
        return self._sources[stage]

    def batches(self, stage: Stage, *, start: int) -> Iterator[Episode]:
        """This process's share of the batches of a stage, from batch `start` on."""
        return own_batches(self.source(stage), stage, start=start, workers=self._config.workers)

    def validation_episodes(self, stage: Stage) -> dict[CorpusTask, list[Episode]]:
        """Episodes of the tasks kept from training, the same at every call: targets of the test split.

        Tasks without a target there, or without examples to support it, are left out.
        """
        corpus = Corpus(self._folder, resolution=stage.size)
        tasks = [
            t for t in self.validation if all(corpus.examples(t, s, minimum_area=0.001) for s in ("test", "train"))
        ]
        if not tasks:
            return {}
        options = dict(seed=self._config.seed, split="test", support_size=stage.support_sizes[1])
        found = {}
        for task in tasks:
            of_task = Episodes(corpus, tasks=[task], **options)
            found[task] = [of_task[i] for i in range(self._config.validation_episodes)]
        return found


def own_batches(source: EpisodeSource, stage: Stage, *, start: int, workers: int = 0) -> Iterator[Episode]:
    """This process's share of the batches of a source, from batch `start` on."""
    return batches(
        source,
        batch_size=stage.batch_size,
        start=start,
        host=jax.process_index(),
        hosts=jax.process_count(),
        workers=workers,
    )
