"""Train from the first step to the end, or resume a run that was stopped.

OUT/checkpoints/     states of the run, to resume from
OUT/best/            weights with the highest validation Dice, for `universeg_jax.load`
OUT/last/            weights at the end
OUT/metrics.jsonl    loss, Dice and gradient norm of every step, validation Dice of every task
OUT/tensorboard/     the same for TensorBoard
OUT/pictures/        masks of the tasks that the run is validated on
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.train.checkpoints import Checkpoints
from universeg_jax.train.config import RunConfig, Stage
from universeg_jax.train.data import RunData
from universeg_jax.train.learner import Learner, initial_state
from universeg_jax.train.monitor import Monitor, Validation
from universeg_jax.train.run_folder import BEST, CHECKPOINTS, LAST, PICTURES, check_same_run, own_folder
from universeg_jax.train.step import Augmentation, Devices, Measures, TrainStep

STOPPED = 75
"""Exit code of a run that saved its state and stopped on request; the same command resumes it."""


class Stopped(Exception):
    """The run saved its state and stopped on request; it can be resumed."""


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Catch SIGTERM and Ctrl-C while the block lasts.

    Yield a function. It returns whether a signal came to any process of the run. All processes call it together, after
    every step. A second signal acts at once, as it does outside the block.
    """
    signals = _Signals()
    try:
        yield signals.came_to_any_process
    finally:
        signals.restore()


class _Signals:
    """Remember SIGTERM and SIGINT instead of acting on them."""

    def __init__(self) -> None:
        self._came = False
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.getsignal(number) or signal.SIG_DFL
                signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: Any) -> None:
        self._came = True
        signal.signal(number, self._before[number])

    def came_to_any_process(self) -> bool:
        if jax.process_count() == 1:
            return self._came
        return bool(multihost_utils.process_allgather(np.array(self._came)).any())

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class NonFinite(InputError):
    """The loss or its gradient is not finite."""


class Best(NamedTuple):
    """The highest validation Dice so far. A later stage ranks higher, because its images have another size."""

    stage: int = -1
    dice: float = -1.0


def train(
    config: RunConfig,
    corpus: Path | str,
    out: Path | str,
    *,
    devices: Devices | None = None,
    quiet: bool = False,
    data: RunData | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Run a training to its end. Resume from the latest checkpoint if `out` holds one.

    Args:
        config: network, data, loss and optimiser.
        corpus: folder of a prepared corpus, or of the scans that the configuration trains on.
        out: folder of the run.
        devices: devices that share the steps; all of them by default.
        quiet: hide the progress bar and messages.
        data: another source of episodes than `corpus`.
        provenance: facts to store with the weights, next to the configuration.

    Returns:
        The folder of the best weights, or of the last weights if nothing was validated.

    Raises:
        InputError: data or configuration are unusable, `out` holds something else, or the disk is full. `NonFinite`
            is raised for a loss that is not finite. Earlier contents of `out` are kept.
        Stopped: SIGTERM or Ctrl-C came; the state is saved.
    """
    out = Path(out)
    devices = devices or Devices.all()
    data = config.make_data(corpus) if data is None else data
    for stage in config.stages:  # unusable data raises before anything is written
        devices.check(stage)
        data.source(stage)
    run = _Run(config, config.make_learner(), data, out, devices, provenance or {})
    with own_folder(out), Checkpoints(out / CHECKPOINTS) as checkpoints, asked_to_stop() as asked:
        run.resume(checkpoints)
        with Monitor(out, first=run.step, steps=config.steps, quiet=quiet, leads=run.leads) as monitor:
            return run.to_its_end(monitor, asked)


class _Run:
    """A run in progress: its state, and everything that reads or writes it."""

    def __init__(
        self,
        config: RunConfig,
        learner: Learner,
        data: RunData,
        out: Path,
        devices: Devices,
        provenance: Mapping[str, Any],
    ):
        self.config, self.learner, self.data, self.out = config, learner, data, out
        self.devices, self.provenance = devices, provenance
        self.fingerprints: Mapping[str, str] | None = getattr(data, "fingerprints", None)
        self.leads = jax.process_index() == 0  # a single process writes the output
        self.best, self.not_better = Best(), 0
        optimizer = learner.optimizer()
        initial = initial_state(learner.initial_parameters(), optimizer, frozen=learner.frozen_parameters())
        self.state = devices.replicate(initial)
        step = TrainStep(learner.loss, optimizer, config.ema)
        self.take_step = devices.compile(step, Augmentation(config.policy, config.seed))

    @property
    def step(self) -> int:
        """Number of steps taken."""
        return int(self.devices.fetch(self.state.step))

    @property
    def patient(self) -> bool:
        """True while training continues although validation did not improve."""
        return self.config.patience is None or self.not_better < self.config.patience

    def resume(self, checkpoints: Checkpoints) -> None:
        """Restore the state from the latest checkpoint, if there is one."""
        self.checkpoints = checkpoints
        found = checkpoints.restore(self.state, accept=self._check_same_run)
        if found is None:
            return
        self.state, about = found
        checkpoints.forget_after(self.step)
        if multihost_utils.process_allgather(np.array((self.out / BEST).is_dir())).all():
            self.best, self.not_better = Best(*about["best"]), about["not_better"]

    def _check_same_run(self, about: Mapping[str, Any]) -> None:
        check_same_run(self.config, about, self.out, self.fingerprints)

    def to_its_end(self, monitor: Monitor, asked: Callable[[], bool]) -> Path:
        total = self.config.steps
        if begun := self.step:
            ended = begun == total or not self.patient
            monitor.say(f"{self.out}: {'is complete' if ended else 'resumes'} after step {begun} of {total}")
        while self.step < total and self.patient:
            self._run_stage(monitor, asked, *self.config.stage_at(self.step))
        self._save()
        self.checkpoints.wait()
        if self.leads:
            self._write_weights(LAST)
        return self.out / (BEST if self.best.stage >= 0 else LAST)

    def _run_stage(self, monitor: Monitor, asked: Callable[[], bool], index: int, begin: int) -> None:
        config, stage, first = self.config, self.config.stages[index], self.step + 1
        end = begin + stage.steps
        validation = Validation(self.learner.predict, self.data.validation_episodes(stage))
        compiled: set[tuple[int, ...]] = set()
        with closing(self.data.batches(stage, start=first - 1 - begin)) as batches:
            ahead = [self.devices.put(next(batches))]
            for now in range(first, end + 1):
                started = time.perf_counter()
                batch, on_devices = ahead.pop()
                self.state, measures = self.take_step(self.state, on_devices)
                if now < end:
                    ahead.append(self.devices.put(next(batches)))  # while the devices compute
                loss, dice, norm = (float(self.devices.fetch(value)) for value in measures)
                if not math.isfinite(loss + norm):
                    raise self._non_finite(now, Measures(loss, dice, norm), stage, batch)
                seconds = time.perf_counter() - started
                shape = batch.support_mask.shape
                monitor.step(dice=dice, episodes=stage.batch_size, seconds=seconds if shape in compiled else None)
                compiled.add(shape)
                monitor.log(now, loss=loss, dice=dice, gradient_norm=norm, seconds=seconds)
                if validation:
                    self._validate(monitor, validation, now, index, end)
                if now % config.save_every == 0:
                    self._save()
                if asked():
                    self._save()
                    self.checkpoints.wait()
                    raise Stopped(f"stopped after step {now} of {config.steps}; run the same command again to resume")
                if not self.patient:
                    monitor.say(f"ends after step {now}: validation Dice did not rise {self.not_better} times in a row")
                    return

    def _validate(self, monitor: Monitor, validation: Validation, step: int, stage: int, end: int) -> None:
        due, drawn = (step % every == 0 for every in (self.config.validate_every, self.config.picture_every))
        if not (due or drawn or step == end):
            return
        average = self._average()
        scores, masks = validation.run({**self.learner.frozen_parameters(), **average})
        mean = float(np.mean(list(scores.values())))
        if drawn and self.leads:
            (self.out / PICTURES).mkdir(exist_ok=True)
            validation.draw(self.out / PICTURES / f"{step:06d}.png", f"step {step}", scores, masks)
        if due or step == end:
            monitor.log(step, validation=mean, validation_tasks={task.name: score for task, score in scores.items()})
            monitor.show(validation=mean)
            self.not_better += 1
            if Best(stage, mean) > self.best:
                self.best, self.not_better = Best(stage, mean), 0
                if self.leads:
                    self._write_weights(BEST)
        monitor.unpause()

    def _save(self) -> None:
        """Save the state and the position, from which all random draws follow."""
        index, begin = self.config.stage_at(min(self.step, self.config.steps - 1))
        batch = self.step - begin
        position = {"stage": index, "batch": batch, "episode": batch * self.config.stages[index].batch_size}
        about = {"config": self.config.to_json(), "seed": self.config.seed, "position": position}
        about |= {} if self.fingerprints is None else {"corpus": self.fingerprints}
        self.checkpoints.save(self.state, about | {"best": list(self.best), "not_better": self.not_better})

    def _average(self) -> dict[str, np.ndarray]:
        return {name: self.devices.fetch(value) for name, value in self.state.average.items()}

    def _write_weights(self, name: str) -> None:
        provenance = {**self.provenance, "trained": self.config.to_json(), "step": self.step}
        if name == BEST:
            provenance["validation_dice"] = self.best.dice
        self.learner.save(self._average(), self.out / name, provenance=provenance)

    def _non_finite(self, step: int, found: Measures, stage: Stage, batch: Episode) -> NonFinite:
        """Save the state, which the step did not change, and return the error."""
        self._save()
        self.checkpoints.wait()
        indices = np.ravel(multihost_utils.process_allgather(np.asarray(batch.task)))
        tasks = dict.fromkeys(self.data.source(stage).tasks[i].name for i in indices)
        return NonFinite(
            f"step {step}: the loss is {found.loss} and the norm of its gradient {found.gradient_norm}; the tasks in "
            f"the batch are {', '.join(tasks)}. The state after step {step - 1} is kept in {self.checkpoints.folder}. "
            "Correct the images of these tasks and start again to resume; or start another run, with a lower "
            "learning_rate or dtype='float32'"
        )
