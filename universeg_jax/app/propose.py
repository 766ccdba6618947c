"""Propose masks for the images of a workspace, from its confirmed images."""

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import cast

import numpy as np

from universeg_jax.app.proposal import Proposal
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.segment.auto import AUTO, FEWEST, Choice
from universeg_jax.segment.forecast import certainty
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.support import Support
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
        self._chosen: tuple[int, Choice, tuple[int, ...]] | None = None  # examples, their choice, their classes
        self._lock = threading.Lock()

    def load_later(self) -> None:
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
                note = self._note(task, len(examples))
                own = tuple(dict.fromkeys(warning_text(text) for text in found if _is_about(text, name, batch)))
                self.workspace.propose(name, Proposal(probability, spread, forecast, tuple(examples), note, own))
                yield name

    def prepare_later(self) -> None:
        """Call `prepare` in the background."""
        threading.Thread(target=self.prepare, daemon=True).start()

    def prepare(self) -> None:
        """Prepare for the next proposals, while a person looks at the last one.

        The plan is chosen anew if the examples have doubled since it was chosen. If one more example needs other shapes
        of arrays, the models are compiled for them.
        """
        with self._lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the proposals had the same
            examples = self.workspace.confirmed_last(MOST_EXAMPLES)
            if self._fitted is None or self._fitted[0] != self._key(examples):
                return
            number, task = len(examples), self._fitted[1]
            if self._is_due(number):
                task = self._fit(examples, None)
            if number < MOST_EXAMPLES and Support.padded_size(number + 1) > Support.padded_size(number):
                images, labels = self._read([*examples, examples[0]])
                longer = self.segmenter().fit(images, labels, choice=task.choice)
                cast(Task, longer).segment(images[:1])

    def _load(self) -> None:
        with self._lock, suppress(InputError):  # the first proposal raises it again
            self.segmenter()

    def _task(self) -> tuple[Task, list[str]]:
        """Fit the confirmed images, or return the fit of the same images and masks."""
        examples = self.workspace.confirmed_last(MOST_EXAMPLES)
        if not examples:
            raise InputError("no image is confirmed: paint one and press Confirm, or click into one to start")
        if self._fitted is not None and self._fitted[0] == self._key(examples):
            return self._fitted[1], examples
        chosen = self._chosen
        return self._fit(examples, None if chosen is None or chosen[0] > len(examples) else chosen[1]), examples

    def _fit(self, examples: Sequence[str], choice: Choice | None) -> Task:
        """Fit examples; choose the plan anew without a choice, or where they show other classes."""
        key, (images, labels) = self._key(examples), self._read(examples)
        task = cast(Task, self.segmenter().fit(images, labels, names=examples, choice=choice))
        classes = tuple(task.classes.tolist())
        if choice is not None and self._chosen is not None and self._chosen[2] != classes:
            return self._fit(examples, None)
        if task.choice is not None and choice is None:
            self._chosen = len(examples), task.choice, classes
        self._fitted = key, task
        return task

    def _is_due(self, number: int) -> bool:
        """Tell whether the plan should be chosen anew for a number of examples."""
        if self._chosen is None:
            return False
        before = self._chosen[0]
        return number >= 2 * before or before < FEWEST <= number

    def _key(self, examples: Sequence[str]) -> tuple:
        return tuple((name, self.workspace.token(name)) for name in examples)

    def _read(self, examples: Sequence[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Read the images and masks of examples."""
        masks = []
        for name in examples:
            mask = self.workspace.mask(name)
            if mask is None:
                raise InputError(f"{name}: its mask is no longer there; open the image and paint it again")
            masks.append(mask)
        return [self.workspace.image(name) for name in examples], masks

    def _note(self, task: Task, examples: int) -> str:
        """Describe the model, and why it was chosen."""
        made_from = f"from {examples} confirmed {'image' if examples == 1 else 'images'}"
        if task.choice is None or self._chosen is None:
            return f"{' + '.join(type(model).__name__ for model in task.segmenter.blend.models)} {made_from}"
        earlier = "" if self._chosen[0] == examples else f" (chosen with {self._chosen[0]})"
        return f"{task.choice.name} {made_from}{earlier}: {task.choice.reason}"

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
