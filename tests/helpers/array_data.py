"""Episodes of small disks in noise, made in memory, for runs of a network that compiles quickly."""

import time

import numpy as np

from universeg_jax.data.augment import Policy, Variation
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.episodes.draw import NUMBER, Episode, EpisodeSource
from universeg_jax.data.episodes.stream import DealtSizes
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train.config import Stage, TrainConfig
from universeg_jax.train.data import own_batches

TINY = UniverSegConfig(encoder_features=((4, 4), (4, 4)))
SIZE = 16
STAGE = Stage(size=SIZE, steps=6, batch_size=4, support_size=(1, 4), learning_rate=1e-2)
TASKS = tuple(CorpusTask("disks", "image", "2d", name) for name in ("bright", "dark"))
LIGHT = Policy(
    task=Variation(brightness_contrast=0.5), in_task=Variation(noise=0.5), flip_horizontally=0.5, flip_vertically=0.5
)


def config(**options) -> TrainConfig:
    """Configure a run of 6 steps without augmentation."""
    given = dict(stages=(STAGE,), model=TINY, policy=Policy.none(), validate_every=3, save_every=2, picture_every=100)
    return TrainConfig(**given | options)


class Disks:
    """Episodes of two tasks: their label is the bright disk or the dark disk."""

    tasks = TASKS

    def __init__(self, sizes: tuple[int, int], *, image: int = SIZE, seconds: float = 0.0, spoilt: int | None = None):
        self._sizes, self._image, self._seconds, self._spoilt = sizes, image, seconds, spoilt

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, number: int) -> Episode:
        time.sleep(self._seconds)
        low, high = self._sizes
        generator = np.random.default_rng(number)
        task, present = number % 2, generator.integers(low, high + 1)
        pairs = [self._pair(generator, task) for _ in range(1 + high)]
        images, labels = (np.stack(each)[..., None] for each in zip(*pairs, strict=True))
        mask = np.arange(high) < present
        if number == self._spoilt:
            images[0] = np.nan
        support = images[1:] * mask[:, None, None, None], labels[1:] * mask[:, None, None, None]
        return Episode(images[0], labels[0], *support, mask, np.int32(task), np.int32(number))

    def _pair(self, generator: np.random.Generator, task: int) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = np.indices((self._image, self._image))
        bright, dark = (
            (rows - y) ** 2 + (columns - x) ** 2 <= 9 for y, x in generator.uniform(3, self._image - 3, (2, 2))
        )
        image = 0.5 + 0.4 * bright - 0.4 * (dark & ~bright) + generator.normal(0, 0.03, bright.shape)
        return np.clip(image, 0, 1).astype(np.float32), (bright, dark & ~bright)[task].astype(np.float32)


class ArrayData:
    """Data of a training run, as `train` takes it.

    Args:
        seconds: time to read an episode.
        spoilt: number of an episode with a target of NaN.
    """

    def __init__(self, *, seconds: float = 0.0, spoilt: int | None = None):
        self._options = dict(seconds=seconds, spoilt=spoilt)

    def source(self, stage: Stage) -> EpisodeSource:
        if stage.support_deck:
            sources = {size: Disks((size, size), image=stage.size, **self._options) for size in stage.support_lengths}
            return DealtSizes(sources, stage.support_deck, batch_size=stage.batch_size, seed=0)
        return Disks(stage.support_sizes, image=stage.size, **self._options)

    def batches(self, stage: Stage, *, start: int):
        return own_batches(self.source(stage), stage, start=start)

    def validation_episodes(self, stage: Stage) -> dict[CorpusTask, list[Episode]]:
        most = stage.support_sizes[1]
        source = Disks((most, most), image=stage.size)
        return {task: [source[10_000 + 2 * i + k] for i in range(2)] for k, task in enumerate(TASKS)}
