"""Fine-tune general weights by a short training on the labelled examples of one task.

RUN/finetune.json    options and data of the run; they must be the same to resume
RUN/best/ ...        as `train` writes it
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from universeg_jax.data.augment import Policy, Variation
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.readers.source import PICTURE_AXIS
from universeg_jax.errors import InputError
from universeg_jax.io import task_folder
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.task import Task as FittedTask
from universeg_jax.train.config import Stage, TrainConfig
from universeg_jax.train.finetune.examples import ExampleData, split_examples
from universeg_jax.train.learner import trainable, with_parameters
from universeg_jax.train.loop import train
from universeg_jax.train.run_folder import BEST, CHECKPOINTS, LAST, METRICS, PICTURES, TENSORBOARD, claim
from universeg_jax.train.step import Devices
from universeg_jax.weights import known_weights, shipped
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import DESCRIPTION, read_description

ABOUT = "finetune.json"
REPORTS = ("report.json", "before_after.md", "before_after.png")
"""Files that `universeg-jax finetune` adds at the end."""

WRITTEN = (BEST, CHECKPOINTS, LAST, METRICS, PICTURES, TENSORBOARD, *REPORTS)
"""Other files and folders of a run."""

MOST_SHOWN = 64
"""Largest number of training examples that support a measurement."""

POLICY = Policy(
    in_task=Variation(
        affine=0.5,
        rotation=(-15.0, 15.0),
        translation=(-0.1, 0.1),
        scale=(0.9, 1.1),
        brightness_contrast=0.25,
        elastic=0.25,
        elastic_alpha=(0.5, 1.5),
        blur=0.1,
        noise=0.1,
    ),
    flip_horizontally=0.5,
    flip_vertically=0.5,
)
"""Augmentation that is milder than in general training, so that images stay typical of their task."""


@dataclass(frozen=True)
class FineTuning:
    """Options of fine-tuning.

    Attributes:
        weights: UniverSeg weights, by name or path.
        steps: largest number of steps.
        patience: number of validations in a row without a rise after which training stops.
        learning_rate: the highest rate; it falls to a tenth along a cosine.
        batch_size: episodes of a step.
        support_size: largest number of examples shown with a target; the smallest is half of it.
        size: side of the images in pixels; None for the size of the weights.
        window: intensity window, as in `Segmenter`.
        seed: seed of split, episodes and augmentation.
        policy: augmentation of the episodes.
    """

    weights: str = shipped.DEFAULT
    steps: int = 500
    patience: int = 6
    learning_rate: float = 3e-4
    batch_size: int = 1
    support_size: int = 16
    size: int | None = None
    window: tuple[float, float] | None = None
    seed: int = 0
    policy: Policy = POLICY

    def config(self, size: int) -> TrainConfig:
        """Return the configuration of the training, for images of one size in pixels.

        Raises:
            InputError: an option is out of range.
        """
        stage = Stage(
            size=size,
            steps=self.steps,
            batch_size=self.batch_size,
            support_size=(max(1, self.support_size // 2), self.support_size),
            learning_rate=self.learning_rate,
            final_learning_rate=self.learning_rate / 10,
            warmup_steps=min(20, self.steps // 10),
        )
        return TrainConfig(
            stages=(stage,),
            weights=self.weights,
            seed=self.seed,
            policy=self.policy,
            ema=0.98,
            patience=self.patience,
            validate_every=25,
            save_every=25,
            picture_every=100,
        )


class FineTuningRun:
    """A fine-tuning run, checked before anything is written.

    Args:
        examples: the labelled examples of a folder.
        options: options of the run.
        subjects: subject of each example; None counts each as its own subject.

    Attributes:
        original: the initial model, at its own size.
        split: indices of the examples in each part.
        data: episodes of the examples.

    Raises:
        InputError: the weights are no UniverSeg, the size does not suit them, or there are too few examples.
    """

    def __init__(
        self, examples: task_folder.SupportFolder, options: FineTuning, *, subjects: Sequence[str] | None = None
    ):
        self.examples, self.options = examples, options
        self.subjects = list(examples.names if subjects is None else subjects)
        self.original = trainable(options.weights)
        self.size = self.original.input_size if options.size is None else options.size
        halvings = len(self.original.config.encoder_features) - 1
        if self.size < 1 or self.size % 2**halvings:
            raise InputError(f"size={self.size}: pass a multiple of {2**halvings} for these weights, such as 128")
        self.config = options.config(self.size)
        resized = with_parameters(replace(self.original.config, input_size=self.size), get_parameters(self.original))
        fitted = self._fit(resized, range(len(examples.names)))
        self._prepared = fitted.support
        names = list(examples.class_names.values())
        classes = names[1:] if len(names) == 2 else names
        tasks = [CorpusTask(examples.folder.resolve().name, "image", PICTURE_AXIS, name) for name in classes]
        self.split = split_examples(self._prepared.shown, self.subjects, classes=classes, seed=options.seed)
        self.data = ExampleData(self._prepared, tasks, self.subjects, self.split, seed=options.seed)

    def train(self, out: Path, *, overwrite: bool = False, quiet: bool = False) -> UniverSeg:
        """Train and return the best model. Resume if `out` holds the same run.

        Args:
            out: folder of the run.
            overwrite: delete an earlier run in `out` and start again.
            quiet: hide the progress bar and messages.

        Raises:
            InputError: `out` holds another run, or other files. `train` may raise others.
        """
        claim(out, ABOUT, self._identity, written=WRITTEN, overwrite=overwrite)
        best = train(
            self.config,
            self.examples.folder,
            out,
            devices=Devices(1),
            quiet=quiet,
            data=self.data,
            provenance=self.provenance,
        )
        return trainable(str(best))

    def masks(self, model: UniverSeg) -> dict[int, np.ndarray]:
        """Segment the examples that are measured on, with support from the train part.

        Returns:
            Class values (H,W), by index of the example.
        """
        task, measured = self._fit(model, self.split.train), self.split.measured
        results = task.segment(
            [self.examples.images[i] for i in measured],
            names=[self.examples.names[i] for i in measured],
            support_size=MOST_SHOWN if len(self.split.train) > MOST_SHOWN else None,
            seed=self.options.seed,
        )
        return {i: result.mask for i, result in zip(measured, results, strict=True)}

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Origin of the fine-tuned weights. The licence of the original weights applies to them.

        It holds no file names, because these may be private.
        """
        return {
            "source": f"fine-tuned from {Path(self.options.weights).name} on {len(self.examples.names)} examples",
            "licence": licence_of(self.options.weights),
            "fine_tuned_from": {
                "weights": Path(self.options.weights).name,
                "sha256": _digest(get_parameters(self.original)),
            },
            "examples": {part: len(indices) for part, indices in asdict(self.split).items()},
            "window": self.options.window,
        }

    @property
    def _identity(self) -> dict[str, Any]:
        arrays = {"images": self._prepared.images, "labels": self._prepared.labels}
        about = {"names": np.array(self.examples.names), "subjects": np.array(self.subjects)}
        options = {name: value for name, value in asdict(self.options).items() if name != "patience"}
        return {
            **options,
            "weights_sha256": self.provenance["fine_tuned_from"]["sha256"],
            "examples_sha256": _digest(arrays | about),
        }

    def _fit(self, model: UniverSeg, indices: Sequence[int]) -> FittedTask:
        examples = self.examples
        images, labels = ([of_all[i] for i in indices] for of_all in (examples.images, examples.labels))
        names = [examples.names[i] for i in indices]
        return cast(FittedTask, Segmenter(model, window=self.options.window).fit(images, labels, names=names))


def licence_of(weights: str) -> str | None:
    """Return the licence of weights by name or folder, or None if it is not stated."""
    named = next((known.licence for known in known_weights() if known.name == weights), None)
    if named is None and (Path(weights) / DESCRIPTION).is_file():
        return read_description(weights)["provenance"].get("licence")
    return named


def _digest(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
