"""Propose masks for the images of a workspace, from its confirmed images."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import islice

import numpy as np

from universeg_jax.app.background import Background, Turns
from universeg_jax.app.example_task import ExampleTask, is_about, warning_text, warning_texts
from universeg_jax.app.proposal import Proposal
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.segment.auto import AUTO
from universeg_jax.segment.forecast import certainty
from universeg_jax.segment.segmenter import Segmenter, encode_ahead, keep_encodings
from universeg_jax.segment.task import Task

AT_ONCE = 4  # images in a call of the model, between two looks at the stop button
AHEAD = 8  # images that are encoded in advance
ENCODINGS = 720 * 2**20  # bytes of encodings in memory: all examples and the images ahead, with LiteMedSAM
SLICE_WINDOW = (0, 255)  # intensities of slices: the workspace scales whole volumes


class Ended(Exception):
    """The page ends."""


class Proposer:
    """Propose masks with one segmenter.

    `start` lets a thread work while no request waits. It takes in new examples, proposes the next image, chooses the
    plan anew, and encodes later images. `propose` uses the finished results.

    Args:
        workspace: the images, and the confirmed masks that are the examples.
        segmenter: makes the segmenter; called once, when it is first needed.
    """

    def __init__(self, workspace: Workspace, segmenter: Callable[[], Segmenter]):
        self.workspace, self.segmenter = workspace, cache(segmenter)
        self.examples = ExampleTask(workspace, self.segmenter)
        self._turns, self._background = Turns(), Background(self.prepare)
        self._settled = True
        self._opened = ""
        self._encoded: dict[str, tuple] = {}  # versions of images that were encoded
        self._ahead: OrderedDict[str, tuple] = OrderedDict()  # proposals made in advance, and their basis
        self._rough: list[str] = []  # images proposed by a plan that is about to be chosen anew
        self._renewed: dict[str, int] = {}  # number of times that an image's proposal was replaced unasked

    def start(self) -> None:
        """Start to work in the background."""
        self._settled = False
        self._background.start()

    def stop(self) -> None:
        """End the work in the background, and wait for its last step."""
        self._background.stop()

    def wake(self, opened: str | None = None) -> None:
        """Look for work in the background: masks were confirmed, or another image was opened."""
        self._opened = self._opened if opened is None else opened
        if self._background.runs:
            self._settled = False
            self._background.wake()

    @property
    def idle(self) -> bool:
        """True if nothing is left to prepare."""
        return self._background.idle

    @property
    def settled(self) -> bool:
        """True if the plan is chosen for the confirmed images; without `start` always True."""
        return self._settled

    def renewed(self, name: str) -> int:
        """Return how often an image's proposal was replaced because the plan was chosen anew."""
        return self._renewed.get(name, 0)

    @property
    def renews(self) -> bool:
        """True if proposals will be replaced once the plan is chosen."""
        return bool(self._rough)

    def propose(self, names: Sequence[str], *, ensemble: int = 1) -> Iterator[str]:
        """Propose a mask for each image, and keep it in the workspace.

        Images that cannot be used get an entry in `Workspace.problems`; the others are proposed.

        Args:
            names: the images.
            ensemble: number of random draws of the examples whose probabilities are averaged.

        Yields:
            The name of each image when it is done. Stop iterating to stop the work.

        Raises:
            InputError: no image is confirmed, or none that can be used.
        """
        for start in range(0, len(names), AT_ONCE):
            with self._turns.request():
                self._propose(names[start : start + AT_ONCE], ensemble)
            yield from names[start : start + AT_ONCE]
        self.wake()

    def prepare(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Do what will be needed next. Requests come first, after each step.

        Args:
            hurry: tells whether to return early, because there is other work.
        """
        with self._turns.background(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the proposals have the same
            hurried = False
            try:
                for _ in self._steps():
                    hurried = hurry()
                    if hurried:
                        return
                    self._turns.give_way()
            except (InputError, Ended):  # a request raises an InputError again
                pass
            finally:  # also after an error, so that no request waits for ever
                self._settled |= not hurried

    def _steps(self) -> Iterator[None]:
        """Do the work of `prepare`; yield after each step, which takes a second at most, apart from loading."""
        segmenter = self.segmenter()
        yield
        if self.examples.names():
            for name in self.examples.names():
                yield from self._encode(segmenter, name)
            self.examples.task()
            yield
            self._settled = not self.examples.is_due()
            yield from self._propose_ahead()
            if self.examples.is_due():
                self.examples.choose(self._between_computations)
            self._settled = True
            yield from self._renew()
            self.examples.compile_next()
            yield
            yield from self._propose_ahead()
        for name in islice(self._next_images(), AHEAD):
            yield from self._encode(segmenter, name)

    def _encode(self, segmenter: Segmenter, name: str) -> Iterator[None]:
        """Encode an image, unless it was done before or the image cannot be read."""
        version = self.workspace.version(name)
        if self._encoded.get(name) != version:
            with self.workspace.noting(name):
                encode_ahead(segmenter, self.workspace.read(name)[0], name)
                self._encoded[name] = version
            yield

    def _between_computations(self) -> None:
        """While the plan is chosen, let requests come first, and process newly confirmed or opened images."""
        if self._background.ends:
            raise Ended
        self._turns.give_way()
        with suppress(InputError):
            for _ in self._propose_ahead():
                self._turns.give_way()

    def _renew(self) -> Iterator[None]:
        """Replace proposals that were made before the plan was chosen."""
        while self._rough:
            name = self._rough[0]
            if self.workspace.state(name) is not State.CONFIRMED:
                self._propose([name], 1)
                self._renewed[name] = self.renewed(name) + 1
            self._rough.remove(name)
            yield

    def _propose_ahead(self) -> Iterator[None]:
        """Make the proposal that is likely to be needed next: for the opened image, or the next one to look at."""
        task, _ = self.examples.task()
        name = next(self._next_images(), None)
        if name is not None and self._known(task, name) is None:
            for _, proposal in self._made(task, [name], 1):
                self._ahead[name] = (*self._basis(task, name), proposal)
            while len(self._ahead) > AHEAD:
                self._ahead.popitem(last=False)
            yield

    def _basis(self, task: Task, name: str) -> tuple:
        """Return the values that the proposal for an image depends on."""
        return task, task.choice, self.workspace.version(name), tuple(self.workspace.classes)

    def _known(self, task: Task, name: str) -> Proposal | None:
        """Return the proposal that was made ahead for an image, if nothing has changed since."""
        *basis, proposal = self._ahead.get(name, (None, None))
        return proposal if tuple(basis) == self._basis(task, name) else None

    def _next_images(self) -> Iterator[str]:
        """Yield images that are not confirmed, those that will be looked at next first."""
        order = self.workspace.order()
        for name in [self._opened, *order] if self._opened in order else order:
            if self.workspace.state(name) is not State.CONFIRMED and not self.workspace.problem(name):
                yield name

    def _propose(self, names: Sequence[str], ensemble: int) -> None:
        """Propose masks for some images at once, with the turn to compute."""
        task, _ = self.examples.task()
        known = {name: self._known(task, name) for name in names if ensemble == 1}
        for name, proposal in known.items():
            if proposal is not None:
                self._keep(name, proposal)
        for name, proposal in self._made(task, [name for name in names if known.get(name) is None], ensemble):
            self._keep(name, proposal)

    def _keep(self, name: str, proposal: Proposal) -> None:
        self.workspace.propose(name, proposal)
        if self._background.runs and self.examples.is_due() and name not in self._rough:
            self._rough.append(name)

    def _made(self, task: Task, names: Sequence[str], ensemble: int) -> Iterator[tuple[str, Proposal]]:
        """Yield the proposals of images. Unusable images are noted and left out."""
        images = {}
        for name in names:
            if self.workspace.is_still_unusable(name):
                continue
            with self.workspace.noting(name):
                images[name], _ = self.workspace.read(name)
        if not images:
            return
        _, examples = self.examples.task()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                draws = min(ensemble, 2 * len(examples)) if len(examples) > 1 else 1
                results = task.segment(list(images.values()), ensemble=draws, names=list(images))
            except InputError as error:
                if len(images) == 1:
                    with self.workspace.noting(next(iter(images))):
                        raise error
                    return
                results = None
        if results is None:  # one of them cannot be used
            for name in images:
                yield from self._made(task, [name], ensemble)
            return
        found = [*self.examples.warnings, *warning_texts(caught)]
        if ensemble > draws == 1:
            found.append("an ensemble needs two confirmed images")
        for name, result in zip(images, results, strict=True):
            spread = result.spread
            if spread is not None and spread.ndim == 3:
                spread = spread.max(axis=-1)
            forecast = result.predicted_dice
            if forecast is None:  # without leave-one-out, the probabilities estimate the Dice of their mask
                forecast = certainty(result.probability)
            note = self.examples.describe(task, len(examples))
            own = tuple(dict.fromkeys(warning_text(text) for text in found if is_about(text, name, list(images))))
            probability = self._of_classes(task, result.probability)
            yield name, Proposal(probability, spread, forecast, tuple(examples), note, own)

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
        workspace: the images; slices have a common scale of intensities, pictures do not.
        model: name or path, as `Segmenter` takes it.
    """

    def load() -> Segmenter:
        segmenter = Segmenter(model, window=SLICE_WINDOW if workspace.scans else None)
        keep_encodings(segmenter, ENCODINGS)
        return segmenter

    return load
