"""Configure a training run."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universeg_jax.data.augment import Policy
from universeg_jax.data.corpus.select import SPLITS
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.util.checks import check_choice, check_kind, check_numbers, check_tuple
from universeg_jax.weights.store import config_to_json

if TYPE_CHECKING:
    from universeg_jax.train.data import RunData
    from universeg_jax.train.learner import Learner


MOST = 2**14
"""Largest size of an image, a batch or a support set: larger numbers are mistakes that would fill the memory."""

MOST_WORKERS = 1024
"""Largest number of processes that read ahead."""


@dataclass(frozen=True)
class Stage:
    """Part of a run with constant sizes. A run usually starts with small images.

    Attributes:
        size: side of the images in pixels; for a corpus, one of its resolutions.
        steps: updates of the parameters.
        batch_size: episodes of a step, over all devices.
        support_size: entries of a support set; a pair (low, high) draws the number for each episode.
        learning_rate: the highest rate. It is reached after `warmup_steps`.
        final_learning_rate: the rate at the end of the stage, reached along a cosine.
        warmup_steps: steps in which the rate rises linearly from 0.
        support_deck: support sizes that change from batch to batch, dealt like cards; `support_size` is the largest of
            them. A size that is named twice comes twice as often. Each size is compiled once. Empty for one size.

    Raises:
        InputError: a value is out of range.
    """

    size: int
    steps: int
    batch_size: int
    support_size: int | tuple[int, int]
    learning_rate: float
    final_learning_rate: float = 0.0
    warmup_steps: int = 0
    support_deck: tuple[int, ...] = ()

    def __post_init__(self):
        check_numbers(self, "size", "batch_size", least=1, most=MOST, whole=True)
        check_numbers(self, "steps", least=1, whole=True)
        check_numbers(self, "learning_rate", above=0)
        check_numbers(self, "final_learning_rate", least=0)
        check_numbers(self, "warmup_steps", least=0, below=self.steps, whole=True)
        pair = self.support_size if isinstance(self.support_size, tuple) else (self.support_size, self.support_size)
        counts = all(isinstance(size, int) and 1 <= size <= MOST for size in pair)
        if len(pair) != 2 or not counts or pair[0] > pair[1]:
            raise InputError(
                f"Stage.support_size={self.support_size!r}: pass a number from 1 to {MOST}, or a pair (low, high)"
            )
        check_tuple(self, "support_deck", least=1, most=MOST, whole=True)
        if self.support_deck and self.support_size != max(self.support_deck):
            raise InputError(
                f"Stage.support_deck={self.support_deck}: the largest size is {max(self.support_deck)}, but "
                f"support_size={self.support_size}; pass support_size={max(self.support_deck)}"
            )

    @property
    def support_sizes(self) -> tuple[int, int]:
        """The least and the most entries of a support set."""
        if isinstance(self.support_size, tuple):
            return self.support_size
        return min(self.support_deck, default=self.support_size), self.support_size

    @property
    def support_lengths(self) -> tuple[int, ...]:
        """Different lengths of the support arrays of batches. Arrays of shorter support sets are padded."""
        return tuple(sorted({*self.support_deck, self.support_sizes[1]}))


@dataclass(frozen=True)
class RunConfig:
    """Options that every training run has, whatever network it trains.

    Attributes:
        stages: parts of the run, in order. Parameters and optimiser are kept from one to the next.
        weights: initial weights, as a name or a folder; None for random weights.
        seed: seed of weights, episodes and augmentation.
        policy: augmentation of the episodes.
        weight_decay: weight decay of the optimiser.
        clip_norm: largest global norm of the gradient; longer gradients are scaled down to it. None for no limit.
        ema: decay of the moving average of the parameters, which is validated and saved as the result; 0 for none.
        dtype: dtype of features, "float32" or "bfloat16"; parameters and losses are float32.
        checkpoint_activations: compute features again for the gradient instead of keeping them. It saves memory and
            costs time.
        workers: number of processes that read ahead; 0 for threads.
        patience: number of validations in a row without a rise after which the run ends; None for no early end.
        validate_every, save_every, picture_every: steps between two validations, checkpoints and pictures.

    Raises:
        InputError: a value is out of range.
    """

    stages: tuple[Stage, ...]
    weights: str | None = None
    seed: int = 0
    policy: Policy = field(default_factory=Policy.universeg)
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    ema: float = 0.999
    dtype: str = "float32"
    checkpoint_activations: bool = False
    workers: int = 0
    patience: int | None = None
    validate_every: int = 500
    save_every: int = 250
    picture_every: int = 1000

    def __post_init__(self):
        name = type(self).__name__
        stages = isinstance(self.stages, tuple) and self.stages
        if not (stages and all(isinstance(stage, Stage) for stage in self.stages)):
            raise InputError(f"{name}.stages={self.stages!r}: pass a tuple of one Stage or more")
        check_numbers(self, "seed", least=0, below=2**63, whole=True)
        check_numbers(self, "workers", least=0, most=MOST_WORKERS, whole=True)
        check_numbers(self, "weight_decay", least=0)
        if self.clip_norm is not None:
            check_numbers(self, "clip_norm", above=0)
        check_numbers(self, "ema", least=0, below=1)
        check_numbers(self, "validate_every", "save_every", "picture_every", least=1, whole=True)
        if self.patience is not None:
            check_numbers(self, "patience", least=1, whole=True)
        check_choice(self, "dtype", "float32", "bfloat16")
        check_kind(self, "checkpoint_activations", bool)
        check_kind(self, "policy", Policy)

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, int]:
        """Return the index of the stage that a step (from 0) belongs to, and the first step of that stage."""
        first = 0
        for index, stage in enumerate(self.stages):
            if step < first + stage.steps:
                return index, first
            first += stage.steps
        raise ValueError(f"step {step} of {self.steps}")

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them, for checkpoints."""
        return dataclasses.asdict(self)

    def make_learner(self) -> "Learner":
        """Return the network to train, with its loss and optimiser.

        Raises:
            InputError: the weights cannot be loaded, or belong to another network.
        """
        raise NotImplementedError

    def make_data(self, source: Path | str) -> "RunData":
        """Return the episodes of a folder: a prepared corpus, or other data of this kind of run.

        Raises:
            InputError: the folder is unusable.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """A training run of UniverSeg.

    Attributes:
        model: network, if it starts from random weights.
        synthetic: share of the episodes with synthetic tasks, from 0 to 1.
        outlined: share of the synthetic tasks whose labels differ by outlines instead of intensities.
        walled: share of the synthetic tasks whose labels are walls and their contents.
        superpixels: share of the episodes whose label is a superpixel of an image, from 0 to 1.
        unions: share of the annotated episodes whose label is joined with other labels, from 0 to 1.
        held_out: names of datasets that training refuses; * stands for anything.
        validation: fraction of the labels of the corpus that is kept for validation.
        training: fraction of the other labels that is trained on.
        minimum_area: smallest area of a label that is trained on, as a fraction of the image.
        minimum_support: smallest number of examples that the support of a task is drawn from.
        split: split of the images that are trained on; None for all, if nothing will be tested on them.
        validation_episodes: number of episodes of each validation task. They are the same every time.
        dice, cross_entropy: weights of the two losses in their sum.
        muon: update the kernels of convolutions by Muon instead of Adam (see `learner.make_optimizer`).

    Raises:
        InputError: a value is out of range.
    """

    model: UniverSegConfig = field(default_factory=UniverSegConfig.v1)
    synthetic: float = 0.0
    outlined: float = 0.0
    walled: float = 0.0
    superpixels: float = 0.0
    unions: float = 0.0
    held_out: tuple[str, ...] = ()
    validation: float = 0.1
    training: float = 1.0
    minimum_area: float = 0.001
    minimum_support: int = 1
    split: str | None = "train"
    validation_episodes: int = 8
    dice: float = 1.0
    cross_entropy: float = 0.5
    muon: bool = False

    def __post_init__(self):
        super().__post_init__()
        shares = ("synthetic", "outlined", "walled", "superpixels", "unions", "validation")
        check_numbers(self, *shares, least=0, most=1)
        check_numbers(self, "training", above=0, most=1)
        check_numbers(self, "minimum_area", least=0, below=1)
        check_numbers(self, "minimum_support", "validation_episodes", least=1, most=MOST, whole=True)
        check_kind(self, "model", UniverSegConfig)
        check_numbers(self, "dice", "cross_entropy", least=0)
        check_choice(self, "split", *SPLITS, None)
        check_kind(self, "muon", bool)
        if self.synthetic + self.superpixels > 1 + 1e-9:
            raise InputError(
                f"synthetic={self.synthetic}, superpixels={self.superpixels}: are shares of the same episodes; pass "
                "at most 1 in all"
            )
        if not (isinstance(self.held_out, tuple) and all(isinstance(name, str) for name in self.held_out)):
            raise InputError(f"TrainConfig.held_out={self.held_out!r}: pass a tuple of names, as in ('acdc*', 'wbc*')")
        if self.dice == self.cross_entropy == 0:
            raise InputError("dice=0, cross_entropy=0: pass a weight above 0 for one of the losses")

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them, for checkpoints."""
        # An activation of the network may be a function that `asdict` cannot copy.
        values = dataclasses.asdict(dataclasses.replace(self, model=UniverSegConfig.v1()))
        return values | {"model": config_to_json(self.model)}

    def make_learner(self) -> "Learner":
        """Return the UniverSeg to train, with its loss and optimiser."""
        from universeg_jax.train.learner import UniverSegLearner  # it imports this module

        return UniverSegLearner(self)

    def make_data(self, source: Path | str) -> "RunData":
        """Return the episodes of a prepared corpus."""
        from universeg_jax.train.data import TrainingData  # it imports this module

        return TrainingData(self, source)
