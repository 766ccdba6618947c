"""Measure during training how well a network segments tasks that it is not trained on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from universeg_jax import backend
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.overview import write_overview
from universeg_jax.io.sheet import Result, Section, ShownExample
from universeg_jax.shapes import Array
from universeg_jax.train.state import Parameters

SHOWN = 4
"""Number of targets of a task in the picture."""


class Validation:
    """Episodes of tasks, segmented and scored.

    Args:
        predict: returns the probabilities (H,W) of one episode; it is compiled here.
        episodes: of each task, all of the same shapes.
    """

    def __init__(
        self, predict: Callable[[Parameters, Episode], Array], episodes: Mapping[CorpusTask, Sequence[Episode]]
    ):
        self._episodes = dict(episodes)
        self._predict = jax.jit(predict, compiler_options=backend.compiler_options())

    def __bool__(self) -> bool:
        return bool(self._episodes)

    def run(self, parameters: Parameters) -> tuple[dict[CorpusTask, float], dict[CorpusTask, np.ndarray]]:
        """Segment all episodes.

        Returns:
            The mean Dice of each task, with masks and labels cut at 0.5; and the masks (N,H,W) of each task.
        """
        scores, masks = {}, {}
        parameters = jax.device_put(parameters)
        for task, episodes in self._episodes.items():
            masks[task] = np.stack([np.asarray(self._predict(parameters, e)) >= 0.5 for e in episodes])
            pairs = zip(masks[task], episodes, strict=True)
            scores[task] = float(np.mean([dice(mask, _mask(e.target_label)) for mask, e in pairs]))
        return scores, masks

    def draw(
        self, file: Path, title: str, scores: Mapping[CorpusTask, float], masks: Mapping[CorpusTask, np.ndarray]
    ) -> None:
        """Draw a sheet of all tasks, the lowest Dice first, with the support of their first episode."""
        order = sorted(scores, key=lambda task: scores[task])
        write_overview(file, [self._section(task, f"{title}: {task.name}", scores, masks) for task in order])

    def _section(self, task: CorpusTask, title: str, scores: Mapping, masks: Mapping) -> Section:
        episodes = self._episodes[task]
        first = episodes[0]
        support = [
            ShownExample("", image[..., 0], _mask(label).astype(int))
            for image, label in zip(first.support_images, first.support_labels, strict=True)
        ]
        results = [
            Result("", e.target[..., 0], mask.astype(int), truth.astype(int), dice(mask, truth))
            for e, mask in zip(episodes[:SHOWN], masks[task], strict=False)
            for truth in [_mask(e.target_label)]
        ]
        note = f"Dice {scores[task]:.3f}, mean of {len(episodes)} targets of {len(support)} examples each"
        return Section(title, note, {1: task.label}, support, results)


def _mask(label: np.ndarray) -> np.ndarray:
    return label[..., 0] >= 0.5
