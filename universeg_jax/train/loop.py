"""A training run, from its first step or from where it was stopped, to its end.

OUT/checkpoints/     the state of the run, to go on from
OUT/best/            weights with the highest validation Dice, for `Segmenter`
OUT/last/            weights at the end
OUT/metrics.jsonl    loss, Dice and gradient norm of every step, validation Dice of every task
OUT/tensorboard/     the same for TensorBoard
OUT/pictures/        what it makes of the tasks it is validated on
"""

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train.checkpoints import Checkpoints
from universeg_jax.train.config import TrainConfig, check_same_run
from universeg_jax.train.data import TrainingData
from universeg_jax.train.devices import Devices
from universeg_jax.train.state import initial_model, initial_state, make_optimizer, with_parameters
from universeg_jax.train.step import augmented, make_body
from universeg_jax.train.validate import Validation
from universeg_jax.train.watch import Watch
from universeg_jax.weights.store import save

STOPPED = 75
"""Exit code of a run that SIGTERM stopped after it saved its state: start it again and it goes on."""


class Stopped(Exception):
    """The run was asked to stop, saved its state, and can go on."""


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
        quiet: without progress bar.
        data: episodes from elsewhere than a corpus.
        provenance: kept with the weights, as JSON can hold it.

    Returns:
        The folder of the best weights; of the last, where nothing was validated.

    Raises:
        InputError: data or configuration that cannot be used, a disk that is full; NonFinite, a loss that is no number.
        Stopped: on SIGTERM, after the state was saved.
    """
    out = Path(out)
    data = TrainingData(config, corpus) if data is None else data
    out.mkdir(parents=True, exist_ok=True)
    with Checkpoints(out / "checkpoints") as checkpoints, _asked_to_stop() as asked:
        run = _Run(config, data, out, devices or Devices.all(), checkpoints, asked, quiet, provenance or {})
        return run.to_its_end()


class _Run:
    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        out: Path,
        devices: Devices,
        checkpoints: Checkpoints,
        asked_to_stop: Callable[[], bool],
        quiet: bool,
        provenance: Mapping[str, Any],
    ):
        self.config, self.data, self.out, self.devices = config, data, out, devices
        self.checkpoints, self.asked_to_stop, self.quiet = checkpoints, asked_to_stop, quiet
        self.provenance = provenance
        self.leads = jax.process_index() == 0  # one process writes what people read
        optimizer = make_optimizer(config)
        model = initial_model(config)
        # Weights are for images of the size that they were trained on last.
        self.model: UniverSegConfig = dataclasses.replace(model.config, input_size=config.stages[-1].size)
        self.best = Best()
        self.worse = 0  # validations in a row that were no better than the best
        self.state = devices.replicate(initial_state(model, optimizer))
        self.take_step = devices.step(partial(make_body, config, self.model, optimizer), augmented(config))
        self._resume()

    def _resume(self) -> None:
        found = self.checkpoints.restore(self.state)
        if found is None:
            return
        self.state, about = found
        check_same_run(self.config, about["config"], self.out)
        self.checkpoints.forget_after(int(self.state.step))
        self.best, self.worse = Best(*about["best"]), about.get("worse", 0)

    def to_its_end(self) -> Path:
        first = int(self.state.step)
        with self._watch(first) as watch:
            while (step := int(self.state.step)) < self.config.steps and not self._hopeless():
                index, begin = self.config.stage_at(step)
                self._run_stage(watch, index, begin, step)
            self._save()
            self.checkpoints.wait()
        if self.leads:
            self._write_weights("last")
        return self.out / ("best" if self.best.stage >= 0 else "last")

    def _run_stage(self, watch: Watch, index: int, begin: int, step: int) -> None:
        config, stage = self.config, self.config.stages[index]
        validation = Validation(self.model, self.data.validation_episodes(stage))
        tasks = self.data.source(stage).tasks
        batches = self.data.batches(stage, start=step - begin)
        with contextlib.closing(batches) if hasattr(batches, "close") else contextlib.nullcontext():
            coming = self.devices.put(next(batches))
            for now in range(step + 1, begin + stage.steps + 1):
                started = time.perf_counter()
                batch, (self.state, measures) = coming, self.take_step(self.state, coming[1])
                if now < begin + stage.steps:
                    coming = self.devices.put(next(batches))  # while the devices compute
                loss, dice, norm = (float(self.devices.fetch(value)) for value in measures)
                if not math.isfinite(loss + norm):
                    raise self._non_finite(now, loss, norm, [tasks[i].name for i in batch[0].task])
                seconds = time.perf_counter() - started
                watch.step(dice=dice, episodes_per_second=stage.batch_size / seconds)
                watch.log(now, loss=loss, dice=dice, gradient_norm=norm, seconds=seconds)
                if validation and (now % config.validate_every == 0 or now == begin + stage.steps):
                    self._validate(watch, validation, now, index)
                if now % config.save_every == 0:
                    self._save()
                if self._hopeless():
                    return
                if self.asked_to_stop():
                    self._save()
                    self.checkpoints.wait()
                    raise Stopped(f"stopped after step {now} of {config.steps}; start the same command again to go on")

    def _validate(self, watch: Watch, validation: Validation, step: int, stage: int) -> None:
        average = jax.tree.map(self.devices.fetch, self.state.average)
        scores, masks = validation.run(average)
        mean = float(np.mean(list(scores.values())))
        watch.log(step, validation=mean, validation_tasks={task.name: score for task, score in scores.items()})
        watch.show(validation=mean)
        if self.leads and step % self.config.picture_every == 0:
            (self.out / "pictures").mkdir(exist_ok=True)
            validation.draw(self.out / "pictures" / f"{step:06d}.png", f"step {step}", scores, masks)
        self.worse += 1
        if Best(stage, mean) > self.best:
            self.best, self.worse = Best(stage, mean), 0
            if self.leads:
                self._write_weights("best")

    def _hopeless(self) -> bool:
        return self.config.patience is not None and self.worse >= self.config.patience

    def _save(self) -> None:
        about = {"config": self.config.to_json(), "best": list(self.best), "worse": self.worse}
        self.checkpoints.save(self.state, about)

    def _write_weights(self, name: str) -> None:
        average = jax.tree.map(self.devices.fetch, self.state.average)
        provenance = {**self.provenance, "trained": self.config.to_json(), "step": int(self.state.step)}
        if name == "best":
            provenance["validation_dice"] = self.best.dice
        save(with_parameters(self.model, average), self.out / name, provenance=provenance, overwrite=True)

    def _watch(self, first: int) -> contextlib.AbstractContextManager:
        return Watch(self.out, first=first, steps=self.config.steps, quiet=self.quiet, leads=self.leads)

    def _non_finite(self, step: int, loss: float, norm: float, tasks: list[str]) -> NonFinite:
        return NonFinite(
            f"step {step}: the loss is {loss} and the norm of its gradient {norm}; the tasks in the batch are "
            f"{', '.join(tasks)}. The last good state is kept in {self.checkpoints.folder}: look at these tasks, lower "
            "learning_rate or clip_norm, or pass dtype='float32'"
        )


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM came, to this process or to another of the run, asked at every step by all of them."""
    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(True))

    def asked() -> bool:
        if jax.process_count() == 1:
            return bool(came)
        return bool(multihost_utils.process_allgather(np.array(bool(came))).any())

    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
