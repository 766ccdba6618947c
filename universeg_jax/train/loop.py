"""Train from the first step, or resume where a run was stopped, to the end.

OUT/checkpoints/     the state of the run, to go on from
OUT/best/            weights with the highest validation Dice, for `Segmenter`
OUT/last/            weights at the end
OUT/metrics.jsonl    loss, Dice and gradient norm of every step, validation Dice of every task
OUT/tensorboard/     the same for TensorBoard
OUT/pictures/        what it makes of the tasks it is validated on
"""

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train.checkpoints import Checkpoints
from universeg_jax.train.config import Stage, TrainConfig
from universeg_jax.train.data import TrainingData
from universeg_jax.train.devices import Devices
from universeg_jax.train.monitor import Watch
from universeg_jax.train.run_folder import BEST, CHECKPOINTS, LAST, PICTURES, check_same_run, own_folder
from universeg_jax.train.state import initial_model, initial_state, make_optimizer, with_parameters
from universeg_jax.train.step import Measures, augmented, make_body
from universeg_jax.train.validation import Validation
from universeg_jax.weights.store import save

STOPPED = 75
"""Exit code of a run that was asked to stop and saved its state: start it again and it goes on."""


class Stopped(Exception):
    """The run was asked to stop, saved its state, and can go on."""


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or Ctrl-C came, to this process or to another of the run.

    All processes ask together, after every step. A second signal acts at once, as if this were not here.
    """
    came, before = [], {}

    def remember(number: int, _) -> None:
        came.append(number)
        signal.signal(number, before[number])

    def asked() -> bool:
        if jax.process_count() == 1:
            return bool(came)
        return bool(multihost_utils.process_allgather(np.array(bool(came))).any())

    if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.getsignal(number) or signal.SIG_DFL
            signal.signal(number, remember)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class NonFinite(InputError):
    """The loss is not a number."""


class Best(NamedTuple):
    """The highest validation Dice so far. Of stages the later counts more, as they see other sizes."""

    stage: int = -1
    dice: float = -1.0


def train(
    config: TrainConfig,
    corpus: Path | str,
    out: Path | str,
    *,
    devices: Devices | None = None,
    quiet: bool = False,
    data: TrainingData | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Run a training to its end, going on from the latest checkpoint in `out`.

    Args:
        corpus: folder of a prepared corpus.
        out: folder of the run.
        devices: that the steps are spread over; all of them by default.
        quiet: without progress bar and messages.
        data: episodes from elsewhere than a corpus; what has `source`, `batches` and `validation_episodes` like
            `TrainingData`.
        provenance: of the weights, kept with them beside the configuration.

    Returns:
        The folder of the best weights; of the last, where nothing was validated.

    Raises:
        InputError: data or configuration that cannot be used, a folder of something else, a disk that is full;
            NonFinite, a loss that is no number. Nothing that was in `out` is lost.
        Stopped: on SIGTERM or Ctrl-C, after the state was saved.
    """
    out = Path(out)
    devices = devices or Devices.all()
    data = TrainingData(config, corpus) if data is None else data
    for stage in config.stages:  # what cannot be used is told before anything is written
        devices.check(batch_size=stage.batch_size, support_size=stage.support_sizes[1])
        data.source(stage)
    run = _Run(config, data, out, devices, provenance or {})
    with own_folder(out), Checkpoints(out / CHECKPOINTS) as checkpoints, asked_to_stop() as asked:
        run.resume(checkpoints)
        with Watch(out, first=run.step, steps=config.steps, quiet=quiet, leads=run.leads) as watch:
            return run.to_its_end(watch, asked)


class _Run:
    def __init__(
        self, config: TrainConfig, data: TrainingData, out: Path, devices: Devices, provenance: Mapping[str, Any]
    ):
        self.config, self.data, self.out, self.devices, self.provenance = config, data, out, devices, provenance
        self.fingerprints: Mapping[str, str] | None = getattr(data, "fingerprints", None)
        self.leads = jax.process_index() == 0  # one process writes what people read
        optimizer = make_optimizer(config)
        model = initial_model(config)
        # Weights are for images of the size that they were trained on last.
        self.model: UniverSegConfig = dataclasses.replace(model.config, input_size=config.stages[-1].size)
        self.best, self.not_better = Best(), 0
        self.state = devices.replicate(initial_state(model, optimizer))
        self.take_step = devices.step(partial(make_body, config, self.model, optimizer), augmented(config))

    @property
    def step(self) -> int:
        """How many were taken."""
        return int(self.devices.fetch(self.state.step))

    @property
    def patient(self) -> bool:
        """Whether to go on though validation did not get better."""
        return self.config.patience is None or self.not_better < self.config.patience

    def resume(self, checkpoints: Checkpoints) -> None:
        """Take the state and what belongs to it from the latest checkpoint, if there is one."""
        self.checkpoints = checkpoints

        def accept(about: Mapping[str, Any]) -> None:
            check_same_run(self.config, about, self.out, self.fingerprints)

        found = checkpoints.restore(self.state, accept=accept)
        if found is None:
            return
        self.state, about = found
        checkpoints.forget_after(self.step)
        if multihost_utils.process_allgather(np.array((self.out / BEST).is_dir())).all():
            self.best, self.not_better = Best(*about["best"]), about["not_better"]

    def to_its_end(self, watch: Watch, asked: Callable[[], bool]) -> Path:
        total = self.config.steps
        if begun := self.step:
            ended = begun == total or not self.patient
            watch.say(f"{self.out}: {'is complete' if ended else 'goes on'} after step {begun} of {total}")
        while self.step < total and self.patient:
            self._run_stage(watch, asked, *self.config.stage_at(self.step))
        self._save()
        self.checkpoints.wait()
        if self.leads:
            self._write_weights(LAST)
        return self.out / (BEST if self.best.stage >= 0 else LAST)

    def _run_stage(self, watch: Watch, asked: Callable[[], bool], index: int, begin: int) -> None:
        config, stage, first = self.config, self.config.stages[index], self.step + 1
        end = begin + stage.steps
        validation = Validation(self.model, self.data.validation_episodes(stage))
        with closing(self.data.batches(stage, start=first - 1 - begin)) as batches:
            coming = self.devices.put(next(batches))
            for now in range(first, end + 1):
                started = time.perf_counter()
                (batch, on_devices), coming = coming, None
                self.state, measures = self.take_step(self.state, on_devices)
                if now < end:
                    coming = self.devices.put(next(batches))  # while the devices compute
                loss, dice, norm = (float(self.devices.fetch(value)) for value in measures)
                if not math.isfinite(loss + norm):
                    raise self._non_finite(now, Measures(loss, dice, norm), stage, batch)
                seconds = time.perf_counter() - started
                watch.step(dice=dice, episodes=stage.batch_size, seconds=None if now == first else seconds)
                watch.log(now, loss=loss, dice=dice, gradient_norm=norm, seconds=seconds)
                if validation:
                    self._validate(watch, validation, now, index, end)
                if now % config.save_every == 0:
                    self._save()
                if asked():
                    self._save()
                    self.checkpoints.wait()
                    raise Stopped(f"stopped after step {now} of {config.steps}; start the same command again to go on")
                if not self.patient:
                    watch.say(f"ends after step {now}: validation Dice was not better {self.not_better} times in a row")
                    return

    def _validate(self, watch: Watch, validation: Validation, step: int, stage: int, end: int) -> None:
        due, drawn = (step % every == 0 for every in (self.config.validate_every, self.config.picture_every))
        if not (due or drawn or step == end):
            return
        average = self._average()
        scores, masks = validation.run(average)
        mean = float(np.mean(list(scores.values())))
        if drawn and self.leads:
            (self.out / PICTURES).mkdir(exist_ok=True)
            validation.draw(self.out / PICTURES / f"{step:06d}.png", f"step {step}", scores, masks)
        if due or step == end:
            watch.log(step, validation=mean, validation_tasks={task.name: score for task, score in scores.items()})
            watch.show(validation=mean)
            self.not_better += 1
            if Best(stage, mean) > self.best:
                self.best, self.not_better = Best(stage, mean), 0
                if self.leads:
                    self._write_weights(BEST)
        watch.go_on()

    def _save(self) -> None:
        """The state, and what else it takes to go on: all that is random follows from the seed and the position."""
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
        save(with_parameters(self.model, self._average()), self.out / name, provenance=provenance, overwrite=True)

    def _non_finite(self, step: int, found: Measures, stage: Stage, batch: Episode) -> NonFinite:
        """The error, after the state of the step before is saved: a step that is not finite changes nothing."""
        self._save()
        self.checkpoints.wait()
        indices = np.ravel(multihost_utils.process_allgather(np.asarray(batch.task)))
        tasks = dict.fromkeys(self.data.source(stage).tasks[i].name for i in indices)
        return NonFinite(
            f"step {step}: the loss is {found.loss} and the norm of its gradient {found.gradient_norm}; the tasks in "
            f"the batch are {', '.join(tasks)}. The state after step {step - 1} is kept in {self.checkpoints.folder}. "
            "Mend the images of these tasks and start again to go on; or start another run, with a lower "
            "learning_rate or dtype='float32'"
        )
