"""The configuration of a training run. A config is a Python file with one of these, `config = TrainConfig(...)`."""

import dataclasses
import difflib
import re
import runpy
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

from universeg_jax.data.augment import Policy, Variation
from universeg_jax.data.corpus.select import HELD_OUT, SPLITS
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.weights.store import config_to_json


@dataclass(frozen=True)
class Stage:
    """A part of a run in which sizes stay the same: small images first, then larger ones.

    Attributes:
        size: side of the images in pixels; a resolution of the corpus.
        steps: updates of the parameters.
        batch_size: episodes of a step, over all devices.
        support_size: entries of a support set; a pair (low, high) draws their number for each episode.
        learning_rate: the highest, reached after `warmup_steps` and lowered to `final_learning_rate` along a cosine.
    """

    size: int
    steps: int
    batch_size: int
    support_size: int | tuple[int, int]
    learning_rate: float
    final_learning_rate: float = 0.0
    warmup_steps: int = 0

    def __post_init__(self):
        _check(self, "size steps batch_size", _is_count, "a whole number, 1 or more")
        _check(self, "learning_rate", lambda value: value > 0, "more than 0")
        _check(self, "final_learning_rate", lambda value: value >= 0, "0 or more")
        _check(self, "warmup_steps", lambda value: 0 <= value < self.steps, f"0 or more and below steps={self.steps}")
        _check(self, "support_size", _is_support_size, "a whole number, 1 or more, or a pair (low, high) of such")

    @property
    def support_sizes(self) -> tuple[int, int]:
        """The least and the most."""
        return (self.support_size, self.support_size) if isinstance(self.support_size, int) else self.support_size


@dataclass(frozen=True)
class TrainConfig:
    """A training run: network, data, loss, optimiser, and when to look at it.

    Attributes:
        stages: one after the other, with parameters and optimiser kept.
        model: of the network, if it starts from random weights.
        weights: where it starts from, what `Segmenter` takes: a name or a folder; None for random weights.
        seed: of weights, episodes and augmentation.
        synthetic: share of episodes that are of synthetic tasks, from 0 to 1.
        outlined: share of the synthetic tasks whose labels are told apart by outlines instead of intensities.
        walled: share of the synthetic tasks whose labels are walls and what they enclose.
        superpixels: share of episodes whose label is a superpixel of an image of the corpus, from 0 to 1.
        unions: share of the episodes of annotated images whose label is joined by other labels, from 0 to 1.
        policy: how episodes are augmented.
        held_out: names of datasets that are refused; * stands for anything.
        validation: fraction of the labels of the corpus that is kept from training, to validate on.
        training: fraction of the other labels that is learned from.
        minimum_area: examples whose label covers less of the image are not learned from; 0.001 is 4 pixels of 64x64.
        minimum_support: tasks with fewer examples to draw the support from are not learned from.
        split: of the images that are learned from, "train"; None for all splits, where nothing will be tested on them.
        validation_episodes: of each task that is validated on, the same every time.
        dice, cross_entropy: weights of the two losses in their sum.
        weight_decay: of AdamW; 0 is Adam.
        muon: update the kernels of convolutions by Muon instead of Adam (see `state.make_optimizer`).
        clip_norm: gradients are scaled down to this global norm.
        ema: decay of the moving average of the parameters, which is validated and kept as the result; 0 for none.
        dtype: of features, "float32" or "bfloat16"; parameters and losses are float32.
        checkpoint_activations: compute the features of support entries again for the gradient instead of keeping
            them. For support sets that would not fit: on CPU at 64 px, a process that trains the released network
            takes 2.5 GB for a support of 256 without, 1.7 GB with it (1.5 and 1.4 GB for 64).
        workers: processes that read ahead, 0 for threads.
        patience: the run ends early when this many validations in a row were no better than the best; None never.
        validate_every, save_every, picture_every: steps.
    """

    stages: tuple[Stage, ...]
    model: UniverSegConfig = field(default_factory=UniverSegConfig.v1)
    weights: str | None = None
    seed: int = 0
    synthetic: float = 0.0
    outlined: float = 0.0
    walled: float = 0.0
    superpixels: float = 0.0
    unions: float = 0.0
    policy: Policy = field(default_factory=Policy.universeg)
    held_out: tuple[str, ...] = HELD_OUT
    validation: float = 0.1
    training: float = 1.0
    minimum_area: float = 0.001
    minimum_support: int = 1
    split: str | None = "train"
    validation_episodes: int = 8
    dice: float = 1.0
    cross_entropy: float = 0.5
    weight_decay: float = 0.0
    muon: bool = False
    clip_norm: float = 1.0
    ema: float = 0.999
    dtype: str = "float32"
    checkpoint_activations: bool = False
    workers: int = 0
    patience: int | None = None
    validate_every: int = 500
    save_every: int = 250
    picture_every: int = 1000

    def __post_init__(self):
        if not (self.stages and all(isinstance(stage, Stage) for stage in self.stages)):
            raise InputError(f"stages={self.stages!r}: pass a tuple of one Stage or more")
        shares = "synthetic outlined walled superpixels unions validation"
        _check(self, shares, lambda value: 0 <= value <= 1, "from 0 to 1")
        _check(self, "training", lambda value: 0 < value <= 1, "more than 0, up to 1")
        _check(self, "minimum_area", lambda value: 0 <= value < 1, "from 0 to below 1")
        _check(self, "split", lambda value: value in (*SPLITS, None), f"one of {', '.join(SPLITS)}, or None for all")
        _check(self, "ema", lambda value: 0 <= value < 1, "from 0 to below 1")
        _check(self, "dice cross_entropy weight_decay", lambda value: value >= 0, "0 or more")
        _check(self, "clip_norm", lambda value: value > 0, "more than 0")
        _check(self, "dtype", lambda value: value in ("float32", "bfloat16"), "float32 or bfloat16")
        _check(self, "muon checkpoint_activations", lambda value: isinstance(value, bool), "True or False")
        _check(self, "seed workers", lambda value: value == 0 or _is_count(value), "a whole number, 0 or more")
        _check(self, "patience", lambda value: value is None or _is_count(value), "a whole number, 1 or more, or None")
        counts = "minimum_support validation_episodes validate_every save_every picture_every"
        _check(self, counts, _is_count, "a whole number, 1 or more")
        if self.synthetic + self.superpixels > 1 + 1e-9:
            raise InputError(
                f"synthetic={self.synthetic}, superpixels={self.superpixels}: shares of the same episodes; pass at "
                "most 1 in all"
            )
        names = isinstance(self.held_out, tuple) and all(isinstance(name, str) for name in self.held_out)
        if not names:
            raise InputError(f"held_out={self.held_out!r}: pass a tuple of names, as in ('acdc*', 'wbc*')")
        if self.dice == self.cross_entropy == 0:
            raise InputError("dice=0, cross_entropy=0: one of the losses needs a weight")

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, int]:
        """Which stage a step (from 0) belongs to, and the first step of that stage."""
        first = 0
        for index, stage in enumerate(self.stages):
            if step < first + stage.steps:
                return index, first
            first += stage.steps
        raise ValueError(f"step {step} of {self.steps}")

    def to_json(self) -> dict[str, Any]:
        """As checkpoints keep it."""
        values = dataclasses.asdict(dataclasses.replace(self, model=None))
        return values | {"model": config_to_json(self.model)}


def _is_support_size(value: Any) -> bool:
    low, high = (value, value) if isinstance(value, int) else value
    if isinstance(value, list):  # stages are keys
        return False
    return _is_count(low) and _is_count(high) and low <= high


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and value >= 1


def _check(options: Any, names: str, holds: Callable[[Any], bool], wanted: str) -> None:
    for name in names.split():
        value = getattr(options, name)
        try:
            good = holds(value)
        except TypeError:  # text where a number belongs
            good = False
        if not good:
            raise InputError(f"{name}={value!r}: pass {wanted}")


def read_config(file: Path | str, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The `config` of a Python file, which is run for it.

    Args:
        overrides: fields to change.

    Raises:
        InputError: no such file, no `config` in it, an unknown field, a value out of range.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    try:
        config = runpy.run_path(str(file)).get("config")
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = f"{file}:{lines[-1]}" if lines else file
        raise InputError(f"{place}: {_explained(error)}") from error
    if not isinstance(config, TrainConfig):
        raise InputError(f"{file}: has no config = TrainConfig(...), but {type(config).__name__}")
    return override(config, overrides or {})


def override(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """A config with other values of some fields.

    Raises:
        InputError: an unknown field, named with the nearest known one, or a value out of range.
    """
    for name in values:
        if name not in _fields(TrainConfig):
            raise InputError(f"{name}: is no field of TrainConfig{_nearest(name, _fields(TrainConfig))}")
    return dataclasses.replace(config, **values)


def _explained(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    kind = unknown and next(
        (kind for kind in (TrainConfig, Stage, UniverSegConfig, Policy, Variation) if kind.__name__ == unknown[1]), None
    )
    if kind is None:
        return f"{type(error).__name__}: {error}"
    return f"{unknown[2]}: is no field of {unknown[1]}{_nearest(unknown[2], _fields(kind))}"


def _fields(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
