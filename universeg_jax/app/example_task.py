"""The confirmed images of a workspace as a task of a segmenter: the choice of its plan, and its warnings."""

import re
import warnings
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.segment.auto import FEWEST, Choice, choose_plan, prior_choice
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.support import Support
from universeg_jax.segment.task import Task

MOST = 32
"""Examples of a proposal: the images that were confirmed last. More hardly help, and cost time."""


class ExampleTask:
    """The confirmed images as a task. It is fitted anew when they change.

    The plan of an automatic segmenter is the one that training sets found best, until `choose` compares plans on the
    examples. `choose` is due again when their number has doubled.

    Args:
        workspace: the images and masks.
        segmenter: returns the segmenter.

    Attributes:
        warnings: warnings about the examples, from the last fit.
    """

    def __init__(self, workspace: Workspace, segmenter: Callable[[], Segmenter]):
        self.workspace, self.segmenter = workspace, segmenter
        self.warnings: list[str] = []
        self._fitted: tuple[tuple, Task, list[str]] | None = None  # versions, task and names of the examples
        self._chosen: tuple[int, Choice, tuple[int, ...]] | None = None  # examples, their choice, their classes

    def task(self) -> tuple[Task, list[str]]:
        """Return the task and the names of its examples.

        Raises:
            InputError: no image is confirmed, none of them can be read, or none shows a structure.
        """
        names = self.workspace.confirmed_last(MOST)
        if not names:
            raise InputError("no image is confirmed: paint one and press Confirm, or click into one to start")
        key = self._key(names)
        if self._fitted is None or self._fitted[0] != key:
            read = [(name, *one) for name in names if (one := self._read(name)) is not None]
            if not read:
                raise InputError(f"no confirmed image can be used: {self.workspace.problem(names[0])}")
            self._fitted = key, self._fit(*map(list, zip(*read, strict=True))), [name for name, *_ in read]
        return self._fitted[1:]

    def names(self) -> list[str]:
        """Return the names of the examples that `task` would use, without those with a known problem."""
        return [name for name in self.workspace.confirmed_last(MOST) if not self.workspace.problem(name)]

    def is_due(self) -> bool:
        """Tell whether the plan should be chosen (anew) for the confirmed images."""
        number = len(self.names())
        if number < 2 or (self._fitted is not None and self._fitted[1].choice is None):
            return False
        before = 0 if self._chosen is None or self._chosen[0] > number else self._chosen[0]
        return number >= 2 * before or before < FEWEST <= number

    def choose(self, pause: Callable[[], object] | None = None) -> None:
        """Choose the plan by leave-one-out.

        Args:
            pause: called between computations of less than a second; other threads may use the task meanwhile.
        """
        task, names = self.task()
        if task.choice is None:
            return
        choice = prior_choice(task.segmenter.blend, len(names))
        try:
            choice = choose_plan(task, pause=pause)
        finally:  # after an error the page would try again and again
            self._chosen = len(names), choice, _classes(task)
            if self._fitted is not None and _classes(self._fitted[1]) == _classes(task):
                self._fitted[1].choose(choice)

    def compile_next(self) -> None:
        """Compile the models for one more example, where that needs other shapes of arrays."""
        task, names = self.task()
        number = len(names)
        if number < MOST and Support.padded_size(number + 1) > Support.padded_size(number):
            images = [self.workspace.image(name) for name in [*names, names[0]]]
            longer = self.segmenter().fit(images, [*task.labels, task.labels[0]], choice=task.choice)
            cast(Task, longer).segment(images[:1])

    def describe(self, task: Task, number: int) -> str:
        """Describe the model of a task with a number of examples, and why it was chosen."""
        made_from = f"from {number} confirmed {'image' if number == 1 else 'images'}"
        if task.choice is None:
            return f"{' + '.join(type(model).__name__ for model in task.segmenter.blend.models)} {made_from}"
        if self._chosen is None or task.choice is not self._chosen[1]:
            return f"{task.choice.name} {made_from}: {task.choice.reason}"
        earlier = "" if self._chosen[0] == number else f" (chosen with {self._chosen[0]})"
        return f"{task.choice.name} {made_from}{earlier}: {task.choice.reason}"

    def _fit(self, names: list[str], images: list[np.ndarray], labels: list[np.ndarray]) -> Task:
        if not any(label.any() for label in labels):
            raise InputError("no confirmed image shows a structure: confirm one that does")
        segmenter, choice = self.segmenter(), None
        if segmenter.automatic:
            known = self._chosen is not None and self._chosen[0] <= len(names)
            choice = self._chosen[1] if self._chosen and known else prior_choice(segmenter.blend, len(names))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            task = cast(Task, segmenter.fit(images, labels, names=names, choice=choice))
        # An empty mask is no mistake here: a person has confirmed that there is nothing.
        full = any(label.all() for label in labels)
        self.warnings = [text for text in warning_texts(caught) if full or "mask is empty or full" not in text]
        if choice is not None and self._chosen is not None and self._chosen[2] != _classes(task):
            self._chosen = None  # it was for other classes
            task.choose(prior_choice(segmenter.blend, len(names)))
        return task

    def _key(self, names: Sequence[str]) -> tuple:
        """Return values that change with an example or its files."""
        return tuple((name, self.workspace.version(name)) for name in names)

    def _read(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Read image and mask of an example; None if they cannot be used. The list then states the reason."""
        with self.workspace.noting(name):
            image, mask = self.workspace.read(name)
            if mask is None:
                raise InputError(f"{name}: its mask is no longer there; open the image and paint it again")
            for model in self.segmenter().blend.models:
                self.segmenter().views(model, [image], [name])  # refuses what no model can use; views are kept
            return image, mask
        return None


def warning_texts(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Return the texts of caught warnings that are about images."""
    return [str(one.message) for one in caught if issubclass(one.category, SegmentationWarning)]


def _classes(task: Task) -> tuple[int, ...]:
    return tuple(task.classes.tolist())


def warning_text(text: str) -> str:
    """Return a warning in the words of the page, without advice on options that the page lacks."""
    parts = text.split("; ")
    kept = [part for part in parts if "pass " not in part and "--" not in part]
    text = "; ".join(kept or parts)
    for theirs, ours in (("every support image", "every example"), ("the support", "the examples")):
        text = text.replace(theirs, ours)
    return text


def is_about(text: str, name: str, batch: Sequence[str]) -> bool:
    """Tell whether a warning is about an image, or about no image of its batch in particular."""

    def begins_with(one: str) -> bool:
        return re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text.split(": ")[0]) is not None

    return begins_with(name) or not any(begins_with(other) for other in batch)
