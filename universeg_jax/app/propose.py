"""Propose masks for the images of a workspace, from its confirmed images or from a click or box."""

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np

from universeg_jax.app.workspace import Proposal, Workspace
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.models.sam.model import SAM, logits_to_image, prompts_to_resized, resize_longest
from universeg_jax.segment.forecast import certainty
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.task import Task
from universeg_jax.weights import load

AT_ONCE = 8  # images in a call of the model, between two looks at the stop button


class Proposer:
    """Propose masks with one segmenter.

    Args:
        workspace: the images, and the confirmed masks that are the examples.
        segmenter: how to segment.
    """

    def __init__(self, workspace: Workspace, segmenter: Segmenter):
        self.workspace, self.segmenter = workspace, segmenter
        self.warnings: list[str] = []
        self._fitted: tuple[tuple, Task] | None = None
        self._lock = threading.Lock()

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
            told = [str(w.message) for w in caught if issubclass(w.category, SegmentationWarning)]
            self.warnings = list(dict.fromkeys(told))
            for name, result in zip(batch, results, strict=True):
                spread = result.spread
                if spread is not None and spread.ndim == 3:
                    spread = spread.max(axis=-1)
                forecast = result.predicted_dice
                if forecast is None:  # one example: what the probabilities expect of their own mask
                    forecast = certainty(result.probability)
                probability = self._of_classes(task, result.probability)
                note = _note(task, len(examples))
                self.workspace.propose(name, Proposal(probability, spread, forecast, tuple(examples), note))
                yield name

    def _task(self) -> tuple[Task, list[str]]:
        """Fit the confirmed images, or return the fit of the same images and masks."""
        examples = self.workspace.confirmed()
        if not examples:
            raise InputError("no image is confirmed: paint one and press Confirm, or click into one to start")
        key = tuple((name, self.workspace.token(name)) for name in examples)
        if self._fitted is None or self._fitted[0] != key:
            images = [self.workspace.image(name) for name in examples]
            labels = [self.workspace.mask(name) for name in examples]
            self._fitted = key, self.segmenter.fit(images, labels, names=examples)
        return self._fitted[1], examples

    def _of_classes(self, task: Task, probability: np.ndarray) -> np.ndarray:
        """Return probabilities (H,W,K) of the workspace's classes; 0 for a class that no example shows."""
        values = list(self.workspace.classes)
        shown = task.classes.tolist()
        if probability.ndim == 2:
            probability = np.stack([1 - probability, probability], axis=-1)
        of_class = dict(zip(shown, np.moveaxis(probability, -1, 0), strict=True))
        empty = np.zeros(probability.shape[:2], np.float32)
        return np.stack([of_class.get(value, empty) for value in values], axis=-1).astype(np.float16)


def _note(task: Task, examples: int) -> str:
    made_from = f"from {examples} confirmed {'image' if examples == 1 else 'images'}"
    if task.choice is not None:
        return f"{task.choice.name} {made_from}: {task.choice.reason}"
    return f"{' + '.join(type(model).__name__ for model in task.segmenter.blend.models)} {made_from}"


class Prompter:
    """Segment the structure at a click or in a box with a SAM, without any example.

    Args:
        workspace: the images.
        sam: the network; its embedding of the last image is kept.
    """

    def __init__(self, workspace: Workspace, sam: SAM):
        self.workspace, self.sam = workspace, sam
        self._encoded: tuple[str, np.ndarray] | None = None
        self._lock = threading.Lock()

    def segment(self, name: str, points: Sequence[tuple[int, int]], *, box: bool) -> np.ndarray:
        """Segment one structure.

        Args:
            name: the image.
            points: (x, y) in pixels of the image; each is on the structure, or they are two corners of a box.
            box: whether the points are the corners of a box.

        Returns:
            (H,W) bool mask.

        Raises:
            InputError: no point, or a box without two different corners.
        """
        corners = np.asarray(points, np.float32).reshape(-1, 2)
        if not len(corners):
            raise InputError("click into the structure first")
        image = self.workspace.picture(name)
        size, longest = image.shape[:2], self.sam.config.input_size
        with self._lock:
            if self._encoded is None or self._encoded[0] != name:
                resized = resize_longest(image[None].astype(np.float32) / 255, longest)
                self._encoded = name, self.sam.encode(np.clip(resized, 0, 1)).embedding
            embedding = self._encoded[1]
            if box:
                low, high = corners.min(axis=0), corners.max(axis=0)
                if len(corners) < 2 or (low == high).any():
                    raise InputError("click two opposite corners of a box around the structure")
                boxes = prompts_to_resized(np.concatenate([low, high])[None], size, longest)
                logits, scores = self.sam.decode(embedding, boxes=boxes)
                chosen = 0
            else:
                resized_points = prompts_to_resized(corners[None], size, longest)
                labels = np.ones((1, len(corners)), np.int32)
                logits, scores = self.sam.decode(embedding, points=resized_points, point_labels=labels)
                chosen = 0 if len(corners) > 1 else 1 + int(np.argmax(np.asarray(scores)[0, 1:]))
        return np.asarray(logits_to_image(logits, size, longest))[0, chosen] > 0


def lazy_prompter(workspace: Workspace) -> Callable[[], Prompter]:
    """Return a function that loads LiteMedSAM when it is first called.

    The function raises InputError where the weights cannot be had.
    """

    @cache
    def prompter() -> Prompter:
        return Prompter(workspace, load("lite-medsam"))

    return prompter
