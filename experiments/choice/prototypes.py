"""ProtoSAM with many examples: choose those that a target is compared with, and the comparison.

    python -m experiments.choice.prototypes --corpus POOL --encodings DIR --out FILE.json [--maps DIR]

Coarse masks of targets by the number of nearest examples, by one softmax over all of them or the maximum of one for
each, and by the examples that the classifier is fitted to. With --maps, masks of the mean with UniverSeg too, from the
files of `experiments.choice.measure`. A stopped run resumes.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from scipy.special import expit

from experiments.benchmark.machine import machine
from experiments.choice.trials import SHAPE, Trial, make_trials, maps_file, read
from experiments.command import run
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.evaluate.few_shot.store import store_encodings
from universeg_jax.evaluate.metrics import dice
from universeg_jax.models.in_context import similarity
from universeg_jax.models.protosam.alp import scores
from universeg_jax.models.protosam.coarse import classifier_of, prototypes_of
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.linear import linear_scores
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.models.protosam.prompts import choose_components, count, find_components, union
from universeg_jax.nn.resample import resize_linear
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.weights.loading import PROTOSAM, load

CONFIG = ProtoSAMConfig.coarse()
SIZES = (4, 16)  # examples of a task
NEAREST = (1, 2, 4, 8)  # examples that a target is compared with
FACTORS = (1.0, 2.0)  # weights of the classifier
CAPACITY = 2**29  # bytes of encodings in memory
score = jax.jit(scores, static_argnums=2)
score_linear = jax.jit(linear_scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--encodings", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--maps", type=Path, metavar="DIR", help="files of UniverSeg")
    parser.add_argument("--targets", type=int, default=8, help="of each task (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="DATASET", help="(default: all)")
    arguments = parser.parse_args()
    corpus, model = Corpus(arguments.corpus), ProtoSAM(load(PROTOSAM), config=CONFIG)
    store_encodings(model, arguments.encodings, capacity=CAPACITY)
    found = json.loads(arguments.out.read_text())["dice"] if arguments.out.exists() else {}
    for trial in make_trials(corpus, **SHAPE):
        if arguments.only and trial.task.dataset not in arguments.only:
            continue
        for size in sorted({min(size, len(trial.draws[0])) for size in SIZES}):
            name = f"{trial.task.name}, {size} examples"
            if name in found:
                continue
            other = None
            if arguments.maps:
                with np.load(maps_file(arguments.maps, trial, 0, "universeg")) as archive:
                    other = archive[f"universeg targets {size}"].astype(np.float32)
            rows = list(measure(corpus, trial, model, size, arguments.targets, other))
            found[name] = {row: round(float(np.mean([one[row] for one in rows])), 4) for row in rows[0]}
            results = {"machine": machine(), "targets": arguments.targets, "dice": found}
            arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(name, found[name], flush=True)


def measure(
    corpus: Corpus, trial: Trial, model: ProtoSAM, size: int, targets: int, other: np.ndarray | None
) -> Iterator[dict[str, float]]:
    """Yield the Dice of each target by the way its examples are used.

    Args:
        corpus: corpus of the trial.
        trial: the task.
        model: encodes images.
        size: number of examples.
        targets: largest number of targets.
        other: probabilities (T,H,W) of UniverSeg; None measures ProtoSAM alone.
    """
    entries = trial.draws[0][:size]
    images, labels = read(corpus, trial.task, [*entries, *trial.targets[:targets]])
    segmenter = Segmenter(model, window=(0, 1))
    pixels = np.stack([segmenter.view(image).pixels for image in images])
    features = np.concatenate([np.asarray(model.encoder(one[None], embedding=False).features) for one in pixels])
    maps = np.stack([segmenter.view(label.astype(float)).pixels[..., 0] for label in labels[:size]])[None]
    most = max(count(label, CONFIG.components) for label in labels[:size])
    anywhere = np.array([most > CONFIG.countless])

    def support(chosen: np.ndarray) -> tuple:
        return features[chosen], maps[:, chosen], np.ones((1, len(chosen)), bool), anywhere

    everyone = np.arange(size)
    of_all = classifier_of(*support(everyone), CONFIG.alp, CONFIG.linear)
    alike = similarity(pixels[size:], pixels[:size])
    for number, truth in enumerate(labels[size:]):
        target, order = features[size + number][None], np.argsort(-alike[number], kind="stable")
        logits = {"classifier alone": np.asarray(score_linear(target, of_all))[0, 0]}
        for nearest in sorted({min(n, size) for n in NEAREST}):
            near = np.sort(order[:nearest])
            classifiers = {"all": of_all, "these": classifier_of(*support(near), CONFIG.alp, CONFIG.linear)}
            linear = {name: np.asarray(score_linear(target, own))[0, 0] for name, own in classifiers.items()}
            for joint in (True, False):
                alp = replace(CONFIG.alp, joint=joint)
                background, foreground = score(target, prototypes_of(*support(near), alp), alp)
                local = np.asarray(foreground - background)[0, 0]
                how = f"{nearest} nearest, {'one softmax' if joint else 'maximum'}"
                for name, own in linear.items():
                    for factor in FACTORS:
                        logits[f"{how}, classifier of {name}, weight {factor:g}"] = local + factor * own
        yield {
            row + extra: value
            for row, own in logits.items()
            for extra, value in dices(own, truth, most, None if other is None else other[number]).items()
        }


def dices(logits: np.ndarray, truth: np.ndarray, most: int, other: np.ndarray | None) -> dict[str, float]:
    """Return the Dice of logits (h,w) alone, and of the means with UniverSeg, by the ending of the row's name."""
    large = np.asarray(resize_linear(logits[None, ..., None], truth.shape))[0, ..., 0]
    kept = choose_components(
        find_components(expit(large)), CONFIG.components, None if most > CONFIG.countless else most
    )
    probability = expit(np.where((large > 0) & ~union(kept, large.shape), -large, large))
    found = {"": dice(probability > 0.5, truth)}
    if other is not None:
        for share in (0.5, 0.75):
            found[f" | {share:.0%}"] = dice((1 - share) * other + share * probability > 0.5, truth)
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    run(main)
