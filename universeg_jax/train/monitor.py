"""Watch a run: a progress bar, metrics.jsonl, curves for TensorBoard, and the Dice of tasks kept for validation."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import jax
import numpy as np
from tqdm import tqdm

from universeg_jax import backend
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.overview import write_overview
from universeg_jax.io.sheet import Result, Section, ShownExample
from universeg_jax.shapes import Array
from universeg_jax.train.learner import Parameters
from universeg_jax.train.run_folder import METRICS, TENSORBOARD
from universeg_jax.util.files import write_whole

SMOOTHING = 0.9
"""Weight of earlier values in the moving averages that the bar shows."""


class Monitor:
    """Progress bar and log files of a run. A context manager.

    Args:
        folder: receives metrics.jsonl, with one line for each call of `log`, and tensorboard/.
        first: the step that the run resumes from; lines of later steps are dropped, because the run repeats these
            steps.
        steps: the last step of the run.
        quiet: hide the bar and messages.
        leads: whether this process writes; only one process of a run does.

    Raises:
        InputError: a file cannot be written, here or in `log`.
    """

    def __init__(self, folder: Path, *, first: int, steps: int, quiet: bool = False, leads: bool = True):
        self._file, self._open = folder / METRICS, contextlib.ExitStack()
        self._lines: TextIO | None = None
        self._curves: _Curves | None = None
        if leads:
            with self._writing():
                _drop_after(self._file, first)
                self._lines = self._open.enter_context(self._file.open("a", encoding="utf-8"))
                self._curves = self._open.enter_context(contextlib.closing(_Curves(folder / TENSORBOARD, first + 1)))
        self._hidden = quiet or not leads
        self._bar = tqdm(total=steps, initial=first, unit="step", disable=self._hidden, dynamic_ncols=True)
        self._shown: dict[str, float] = {}

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()
        with contextlib.suppress(OSError):  # all lines are flushed already, so an error here is ignored
            self._open.close()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if not self._hidden:
            tqdm.write(text, file=sys.stderr)

    def step(self, *, dice: float, episodes: int, seconds: float | None) -> None:
        """Advance the bar by one step.

        Args:
            dice: mean Dice of the batch.
            episodes: number of episodes in the batch.
            seconds: duration of the step; None for a step with compilation, which predicts no later step.
        """
        self._average("dice", dice)
        if seconds is None:
            self.unpause()
        else:
            self._average("seconds per episode", seconds / episodes)
        shown = {name: f"{value:.3f}" for name, value in self._shown.items() if name != "seconds per episode"}
        if each := self._shown.get("seconds per episode"):
            shown["episodes/s"] = f"{1 / each:.1f}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def unpause(self) -> None:
        """Leave the time since the last step out of the estimate of the time left."""
        if not self._hidden:
            self._bar.unpause()

    def show(self, **shown: float) -> None:
        """Show values at the bar until they change."""
        self._shown |= shown

    def log(self, step: int, **values: float | Mapping[str, float]) -> None:
        """Write values of a step. A mapping holds one value for each of its names."""
        if self._lines is None or self._curves is None:
            return
        with self._writing():
            self._lines.write(json.dumps({"step": step, **values}) + "\n")
            self._lines.flush()
            for name, value in values.items():
                for part, number in value.items() if isinstance(value, Mapping) else {"": value}.items():
                    self._curves.add(f"{name}/{part}".rstrip("/"), number, step)
            self._curves.flush()

    def _average(self, name: str, value: float) -> None:
        before = self._shown.get(name, value)
        self._shown[name] = SMOOTHING * before + (1 - SMOOTHING) * value

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self._file}: cannot be written: {error.strerror or error}; checkpoints and weights are "
                "unchanged. Make room and start the same command again"
            ) from error


class _Curves:
    """Write scalars for TensorBoard at once, because tensorboardX's own thread hangs on a full disk."""

    def __init__(self, folder: Path, first: int):
        from tensorboardX.event_file_writer import EventsWriter  # slow to import
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        self._event, self._scalar = Event, scalar
        folder.mkdir(exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")  # its own name counts whole seconds
        # TensorBoard hides what earlier runs wrote for this step and later ones.
        self._writer.write_event(Event(step=first, file_version="brain.Event:2"))
        self._writer.write_event(Event(step=first, session_log=SessionLog(status=SessionLog.START)))
        self.flush = self._writer.flush
        self.close = self._writer.close

    def add(self, name: str, value: float, step: int) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=self._scalar(name, value)))


def read_metrics(file: Path) -> list[dict]:
    """Read the lines of a metrics.jsonl. Damaged and incomplete lines are skipped."""
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _drop_after(file: Path, step: int) -> None:
    lines = [line for line in read_metrics(file) if line["step"] <= step]
    write_whole(file, "".join(json.dumps(line) + "\n" for line in lines))


SHOWN = 4
"""Number of targets of a task in the picture."""


class Validation:
    """Episodes of tasks, segmented and scored.

    Args:
        predict: returns the probabilities (H,W) of one episode; it is compiled here.
        episodes: episodes of each task, all of the same shapes.
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
