"""Measure one-shot Dice of ProtoSAM and UniverSeg on tasks of a corpus, with the same draws for all."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.data.corpus.read import Corpus, CorpusTask, Example
from universeg_jax.errors import SegmentationWarning
from universeg_jax.evaluate.metrics import dice
from universeg_jax.models.in_context import InContextModel
from universeg_jax.models.sam.image_encoder import Features
from universeg_jax.models.sam.model import SAM
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.util.random import generator

SMALLEST = 1e-3  # smallest fraction of the image that a label covers: 16 pixels at 128
VOLUMES = ("sa_ct_liver", "sa_whole_heart_hvsmr_2_0", "sa_kits19_kidney_tumor", "sa_liver_tumor")
"""Datasets of slices named after their volume by the first number; sa_liver_tumor has mirrored copies under it."""
NUMBERED = (*VOLUMES, "chasedb1_vessel")
"""Datasets with several images of a subject, which the first number in their names identifies."""


class RememberingSAM:
    """A SAM that encodes no image twice: an image can be the target of several draws and models."""

    def __init__(self, sam: SAM):
        self.config, self.decode, self._sam = sam.config, sam.decode, sam
        self._known: dict[bytes, Features] = {}

    def encode(self, images) -> Features:
        keys = [np.asarray(image).tobytes() for image in images]
        for key, image in zip(keys, images, strict=True):
            if key not in self._known:
                self._known[key] = jax.tree.map(np.asarray, self._sam.encode(image[None]))
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *(self._known[key] for key in keys))

    def forget(self) -> None:
        """Free the memory."""
        self._known.clear()


@dataclass(frozen=True)
class Contender:
    """A model, its number of examples, and its dtype."""

    name: str
    model: InContextModel
    examples: int
    dtype: str = "float32"


@dataclass(frozen=True)
class Draw:
    """One support image and its targets; `more` are further examples for contenders with several."""

    support: Example
    more: tuple[Example, ...]
    targets: tuple[Example, ...]


def chosen_tasks(corpus: Corpus, dataset: str, *, most: int) -> list[CorpusTask]:
    """Choose the tasks of a dataset with at least two images, by name, up to a number."""
    tasks = [task for task in corpus.tasks if task.dataset == dataset]
    return [task for task in tasks if len(corpus.examples(task, minimum_area=SMALLEST)) > 1][:most]


def draws(
    corpus: Corpus, task: CorpusTask, *, number: int, targets: int, more: int, among: int | None = None
) -> Iterator[Draw]:
    """Draw random support images, each with random targets.

    The order of images depends on the dataset alone, so that its tasks share them. Targets and examples show different
    subjects, if names identify subjects (`NUMBERED`; names of ACDC's slices do not).

    Args:
        number: number of support images.
        targets: most targets of each; for slices (`VOLUMES`), number of volumes, with all their slices.
        more: number of further examples for each support image, or none in smaller sets.
        among: the images that all are drawn from; targets are drawn anew for each support image. None takes the same
            few images, 4 more than there are targets, so that most targets are common to all.
    """
    examples = {example.image: example for example in corpus.examples(task, minimum_area=SMALLEST)}
    order = generator(0, task.dataset).permutation(max(examples) + 1).tolist()
    ordered = [examples[image] for image in order if image in examples]
    size = len(ordered) if task.dataset in VOLUMES else among or targets + 4
    pool, rest = ordered[:size], ordered[size:]
    for place, support in enumerate(pool[:number]):
        others = [e for e in pool if subject(task, e) != subject(task, support)]
        if not others:
            continue
        if among:
            others = [others[i] for i in generator(place, task.dataset).permutation(len(others))]
        taken = others[-targets:]
        if task.dataset in VOLUMES:
            chosen = list(dict.fromkeys(subject(task, e) for e in others))[-targets:]
            taken = [e for e in others if subject(task, e) in chosen]
        seen = {subject(task, target) for target in taken}
        spare = [e for e in [*rest, *others] if subject(task, e) not in seen]
        if len(spare) < more:  # small sets use all images of other subjects: see `segment`
            spare = []
        yield Draw(support, tuple(spare[:more]), tuple(taken))


def subject(task: CorpusTask, example: Example) -> str:
    """Find the subject of an image; without one, the image's own name."""
    return re.search(r"\d+", example.subject)[0] if task.dataset in NUMBERED else example.subject


def segment(corpus: Corpus, task: CorpusTask, draw: Draw, contender: Contender) -> list[np.ndarray]:
    """Segment the targets of a draw into masks (H,W)."""

    def arrays(examples: list[Example]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        pairs = [corpus.read(task, example.image) for example in examples]
        return [image for image, _ in pairs], [label[..., 0] >= 0.5 for _, label in pairs]

    targets = list(draw.targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SegmentationWarning)  # the quality is measured here
        segmenter = Segmenter(contender.model, dtype=contender.dtype)
        if contender.examples == 1 or draw.more:
            support = [draw.support, *draw.more[: contender.examples - 1]]
            return segmenter.fit(*arrays(support)).predict(arrays(targets)[0])
        masks = []
        for target in targets:
            others = [other for other in targets if subject(task, other) != subject(task, target)]
            support = [draw.support, *others][: contender.examples]
            masks += segmenter.fit(*arrays(support)).predict(arrays([target])[0])
        return masks


def measure(corpus: Corpus, task: CorpusTask, made: list[Draw], contender: Contender) -> dict:
    """Measure the Dice of a contender on a task: mean over images and draws, and over volumes if there are any."""
    images, volumes = [], []
    for draw in made:
        masks = segment(corpus, task, draw, contender)
        truths = [corpus.read(task, target.image)[1][..., 0] >= 0.5 for target in draw.targets]
        images.append(fmean(dice(mask, truth) for mask, truth in zip(masks, truths, strict=True)))
        if task.dataset in VOLUMES:
            names = np.array([subject(task, target) for target in draw.targets])
            of_volumes = [np.flatnonzero(names == name) for name in sorted(set(names))]
            volumes.append(fmean(dice(*(np.stack([x[i] for i in own]) for x in (masks, truths))) for own in of_volumes))
    spread = float(np.std(images))
    return {
        "dice": round(fmean(images), 4),
        "dice of draws": [round(value, 4) for value in images],
        "spread over draws": round(spread, 4),
        "dice of volumes": round(fmean(volumes), 4) if volumes else None,
    }
