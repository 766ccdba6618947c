"""Compute the probabilities of targets and of left-out examples by every method, for choices and forecasts.

    python -m experiments.choice.measure --corpus CORPUS --encodings DIR --out DIR --model universeg
    python -m experiments.choice.measure --corpus CORPUS --encodings DIR --out DIR --model protosam

OUT holds one file for each task, draw and model. Sizes that a file holds are skipped, so a stopped run resumes. No
table is made here: `experiments.choice.report` reads the files.
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.choice.trials import SHAPE, Trial, make_trials, maps_file, read
from experiments.command import run
from universeg_jax.cli.shared import add_weights
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.errors import SegmentationWarning
from universeg_jax.evaluate.few_shot.store import store_encodings
from universeg_jax.models.in_context import InContextModel, nearest_entries, similarity
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.segment.leave_one_out import left_out_entries
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.support import ModelTask
from universeg_jax.weights.loading import PROTOSAM, load

SIZES = (1, 2, 4, 8, 16, 32)
AT_ONCE = 16
CAPACITY = 2**29  # bytes of encodings in memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--encodings", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", choices=("universeg", "protosam"), required=True)
    add_weights(parser)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of examples (default: 1 to 32)")
    parser.add_argument("--nearest", type=int, help="examples that ProtoSAM compares a target with, instead of its own")
    parser.add_argument("--targets-only", action="store_true", help="leave no examples out")
    parser.add_argument("--datasets", nargs="+", help="only these (default: all)")
    parser.add_argument("--draws", type=int, default=1, help="draws of each task (default: %(default)s)")
    parser.add_argument("--tasks-of-dataset", type=int, default=1, metavar="N", help="(default: %(default)s)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus(arguments.corpus)
    if arguments.model == "universeg":
        model = load(arguments.weights)
    else:
        # The decoder neither gains nor loses on average: experiments/results/protosam_choices.md.
        config = ProtoSAMConfig.coarse()
        if arguments.nearest is not None:
            config = replace(config, nearest=arguments.nearest)
        model = ProtoSAM(load(PROTOSAM), config=config)
        store_encodings(model, arguments.encodings, capacity=CAPACITY)
    trials = list(make_trials(corpus, **SHAPE, tasks_of_dataset=arguments.tasks_of_dataset))
    for draw in range(arguments.draws):
        for trial in trials:
            if arguments.datasets and trial.task.dataset not in arguments.datasets:
                continue
            file = maps_file(arguments.out, trial, draw, arguments.model)
            known = dict(np.load(file)) if file.exists() else {}
            sizes = {min(size, len(trial.draws[draw])) for size in arguments.sizes}
            missing = sorted(size for size in sizes if f"{arguments.model} targets {size}" not in known)
            if not missing:
                continue
            found = measure(corpus, trial, draw, model, missing, left_out=not arguments.targets_only)
            known |= {f"{arguments.model} {key}": value for key, value in found.items()}
            part = file.with_suffix(".part.npz")
            np.savez_compressed(part, **known)
            part.replace(file)
            print(trial.task.name, draw, flush=True)


def measure(
    corpus: Corpus, trial: Trial, draw: int, model: InContextModel, sizes: Sequence[int], *, left_out: bool
) -> dict[str, np.ndarray]:
    """Return probabilities (N,H,W), float16, of targets and examples, by method and number of examples."""
    segmenter, found = Segmenter(model, window=(0, 1)), {}
    images, _ = read(corpus, trial.task, trial.targets)
    examples, labels = read(corpus, trial.task, trial.draws[draw])
    grey = model.input_channels == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SegmentationWarning)
        for size in sizes:
            task = segmenter.fit(examples[:size], labels[:size])
            (member,) = task.members
            targets = segmenter.views(model, images, [""] * len(images))
            everything = np.ones((len(targets), size), np.float32)
            found[f"targets {size}"] = probabilities(member, targets, everything)
            if grey and size >= 8:
                found[f"similar {size}"] = probabilities(member, targets, similar(member, targets, size // 2))
            if left_out and size > 1:
                entries = left_out_entries(size)
                others, views = 1 - np.eye(size, dtype=np.float32)[entries], [member.views[i] for i in entries]
                found[f"left out {size}"] = probabilities(member, views, others)
                if grey and size >= 8:
                    weights = similar(member, views, size // 2, others)
                    found[f"left similar {size}"] = probabilities(member, views, weights)
    return found


def similar(member: ModelTask, views, size: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """Return the weights of the most similar examples of each image."""
    alike = similarity(*(np.stack([view.pixels for view in own]) for own in (views, member.views)))
    if allowed is not None:
        alike = np.where(allowed > 0, alike, -np.inf)
    return nearest_entries(alike, member.support.shown, size).astype(np.float32)


def probabilities(member: ModelTask, views, weights: np.ndarray) -> np.ndarray:
    """Return the probabilities (N,H,W) of images of one size."""
    maps = []
    for start in range(0, len(views), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        found = member.probability(views[part], member.predictor(), weights[part])
        for view, one in zip(views[part], found, strict=True):
            maps.append(view.frame.back(one)[..., 0].astype(np.float16))
    return np.stack(maps)


if __name__ == "__main__":
    run(main)
