"""Propose masks for the images of a workspace, from its confirmed images."""

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import cast

import numpy as np

from universeg_jax.app.proposal import Proposal
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.segment.auto import AUTO, FEWEST, Choice
from universeg_jax.segment.forecast import certainty
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.task import Task

AT_ONCE = 8  # images in a call of the model, between two looks at the stop button
MOST_EXAMPLES = 64  # the images that were confirmed last; more hardly help, and cost time
SLICE_WINDOW = (0, 255)  # of slices, which the workspace scales alike in the whole volume


class Proposer:
    """Propose masks with one segmenter.

    Args:
        workspace: the images, and the confirmed masks that are the examples.
        segmenter: makes the segmenter; called once, when it is first needed.
    """

    def __init__(self, workspace: Workspace, segmenter: Callable[[], Segmenter]):
        self.workspace, self.segmenter = workspace, cache(segmenter)
        self._fitted: tuple[tuple, Task] | None = None
        self._chosen: tuple[int, tuple[int, ...], Choice] | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load the segmenter in the background, so that the first proposal need not wait for it."""
        threading.Thread(target=self._load, daemon=True).start()

    def propose(self, names: Sequence[str], *, ensemble: int = 1) -> Iterator[str]:
        """Propose a mask for each image, and keep it in the workspace.

        Args:
            names: the images.
            ensemble: number of random draws of the examples whose probabilities are averaged.

        Yields:
            The name of each image when its proposal is kept. Stop iterating to stop the work.

        Raises:
            InputError: no image is confirmed, or an image cannot be read.
        """
        for start in range(0, len(names), AT_ONCE):
            batch = names[start : start + AT_ONCE]
            with self._lock, warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                task, examples = self._task()
                images = [self.workspace.image(name) for name in batch]
                results = task.segment(images, ensemble=min(ensemble, 2 * len(examples)), names=list(batch))
            found = [str(w.message) for w in caught if issubclass(w.category, SegmentationWarning)]
            for name, result in zip(batch, results, strict=True):
                spread = result.spread
                if spread is not None and spread.ndim == 3:
                    spread = spread.max(axis=-1)
                forecast = result.predicted_dice
                if forecast is None:  # one example: what the probabilities expect of their own mask
                    forecast = certainty(result.probability)
                probability = self._of_classes(task, result.probability)
                note = _note(task, len(examples))
                own = tuple(dict.fromkeys(warning_text(text) for text in found if _is_about(text, name, batch)))
                self.workspace.propose(name, Proposal(probability, spread, forecast, tuple(examples), note, own))
                yield name

    def _load(self) -> None:
        with self._lock:
            self.segmenter()

    def _task(self) -> tuple[Task, list[str]]:
        """Fit the confirmed images, or return the fit of the same images and masks."""
        examples = self.workspace.confirmed_last(MOST_EXAMPLES)
        if not examples:
            raise InputError("no image is confirmed: paint one and press Confirm, or click into one to start")
        key = tuple((name, self.workspace.token(name)) for name in examples)
        if self._fitted is None or self._fitted[0] != key:
            images = [self.workspace.image(name) for name in examples]
            labels = [self.workspace.mask(name) for name in examples]
            classes = tuple(sorted(set().union(*(np.unique(label).tolist() for label in labels))))
            segmenter, number = self.segmenter(), len(examples)
            choice = self._choice(number, classes)
            task = cast(Task, segmenter.fit(images, labels, names=examples, choice=choice))
            if task.choice is not None and choice is None:
                self._chosen = number, classes, task.choice
            self._fitted = key, task
        return self._fitted[1], examples

    def _choice(self, number: int, classes: tuple[int, ...]) -> Choice | None:
        """Return the last choice of a plan; None where it must be made anew, since the examples doubled or differ."""
        if self._chosen is None:
            return None
        before, own, choice = self._chosen
        compared = before >= FEWEST or number < FEWEST
        return choice if compared and before <= number < 2 * before and own == classes else None

    def _of_classes(self, task: Task, probability: np.ndarray) -> np.ndarray:
        """Return probabilities (H,W,K) of the workspace's classes; 0 for a class that no example shows."""
        values = list(self.workspace.classes)
        shown = task.classes.tolist()
        if probability.ndim == 2:
            probability = np.stack([1 - probability, probability], axis=-1)
        of_class = dict(zip(shown, np.moveaxis(probability, -1, 0), strict=True))
        empty = np.zeros(probability.shape[:2], np.float32)
        return np.stack([of_class.get(value, empty) for value in values], axis=-1).astype(np.float16)


def segmenter_for(workspace: Workspace, model: str = AUTO) -> Callable[[], Segmenter]:
    """Return a function that loads the segmenter of a workspace.

    Args:
        workspace: the images; slices have a common scale of intensities, pictures have not.
        model: name or path, as `Segmenter` takes it.
    """
    return lambda: Segmenter(model, window=SLICE_WINDOW if workspace.scans else None)


def warning_text(text: str) -> str:
    """Return a warning without advice on options that the page has not."""
    parts = text.split("; ")
    kept = [part for part in parts if "pass " not in part and "--" not in part]
    return "; ".join(kept or parts)


def _is_about(text: str, name: str, batch: Sequence[str]) -> bool:
    """Tell whether a warning is about an image, or about no image of its batch in particular."""
    return name in text or not any(other in text for other in batch)


def _note(task: Task, examples: int) -> str:
    made_from = f"from {examples} confirmed {'image' if examples == 1 else 'images'}"
    if task.choice is not None:
        return f"{task.choice.name} {made_from}: {task.choice.reason}"
    return f"{' + '.join(type(model).__name__ for model in task.segmenter.blend.models)} {made_from}"
