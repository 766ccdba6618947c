"""Provide superpixel episodes of a folder of scans."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from universeg_jax.cache import cache_folder
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.episodes.draw import Episode, EpisodeSource
from universeg_jax.data.episodes.pseudo_labels import PseudoLabelStore
from universeg_jax.data.episodes.self_supervised import SelfSupervisedEpisodes
from universeg_jax.data.episodes.stream import Batches
from universeg_jax.data.stacks import SliceStack, check_organs, read_stacks
from universeg_jax.errors import InputError
from universeg_jax.train.config import Stage
from universeg_jax.train.data import own_batches
from universeg_jax.train.encoder.config import EncoderTrainConfig


class EncoderData:
    """Superpixel episodes of scans, for training and validation.

    Args:
        config: the run.
        source: folder of volumes, or scans that were read already.
        store: folder of the pseudo-labels; by default one in the cache of this package.

    Attributes:
        fingerprints: fingerprint of each scan, by name.

    Raises:
        InputError: the folder is unusable, a name in `leave_out` or `exclude` is unknown, or no scan is left.
    """

    def __init__(
        self, config: EncoderTrainConfig, source: Path | str | Sequence[SliceStack], *, store: Path | None = None
    ):
        if isinstance(source, str | Path):
            source = read_stacks(Path(source), axis=config.axis, modality=config.modality)
        unknown = set(config.leave_out) - {stack.name for stack in source}
        if unknown:
            raise InputError(
                f"leave_out={config.leave_out}: there are no scans {', '.join(sorted(unknown))}; there are "
                f"{', '.join(stack.name for stack in source)}"
            )
        if config.exclude:
            check_organs(source, config.exclude)
        self._stacks = [stack for stack in source if stack.name not in config.leave_out]
        if not self._stacks:
            raise InputError(f"leave_out={config.leave_out}: leaves no scan to train on")
        self._config = config
        folder = cache_folder() / "pseudo_labels" if store is None else store
        self._labels = PseudoLabelStore(folder, config.pseudo_labels).of_all(self._stacks)
        self.fingerprints = {stack.name: stack.fingerprint for stack in self._stacks}
        self._allowed = [allowed_slices(stack, config.exclude) for stack in self._stacks]

    def source(self, stage: Stage) -> EpisodeSource:
        """Return the training episodes of a stage."""
        return self._episodes(stage, self._config.seed)

    def batches(self, stage: Stage, *, start: int) -> Batches:
        """Iterate over the batches of a stage from batch `start`, with the share of this process."""
        return own_batches(self.source(stage), stage, start=start, workers=self._config.workers)

    def validation_episodes(self, stage: Stage) -> dict[CorpusTask, list[Episode]]:
        """Return superpixel episodes that training draws with another seed, the same at every call."""
        number = self._config.validation_episodes
        if number == 0:
            return {}
        source = self._episodes(stage, self._config.seed + 1)
        return {source.tasks[0]: [source[i] for i in range(number)]}

    def _episodes(self, stage: Stage, seed: int) -> SelfSupervisedEpisodes:
        return SelfSupervisedEpisodes(
            self._stacks,
            self._labels,
            allowed=self._allowed,
            seed=seed,
            size=stage.size,
            augmentation=self._config.copies,
        )


def allowed_slices(stack: SliceStack, exclude: Sequence[str]) -> list[int]:
    """Return the slices of a scan that show none of the excluded organs (setting 2)."""
    shown: np.ndarray = np.zeros(len(stack.images), bool)
    for organ in exclude:
        shown[stack.organ(organ).slices] = True
    return np.flatnonzero(~shown).tolist()
