"""Predictions of the Dice of single images: certainty, agreement of models, reverse classification, and regressions.

    python -m experiments.choice.image_forecast --corpus POOL --maps DIR --out FILE.json

Maps are the files of `experiments.choice.measure`; every image is segmented by the mean of both models. Reverse
classification takes the image and its predicted mask as the only example, segments the labelled examples with
UniverSeg, and predicts their mean Dice (Valindria et al., 2017). Regressions are fitted to all other tasks.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from scipy import stats

from experiments.benchmark.machine import machine
from experiments.choice.report import dices
from experiments.choice.trials import SHAPE, make_trials, maps_file, read
from experiments.command import run
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.errors import SegmentationWarning
from universeg_jax.segment.forecast import certainty
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.weights import shipped
from universeg_jax.weights.loading import load

SIZES = (4, 8, 16)  # examples
MOST = 8  # examples that are segmented in reverse
REGRESSIONS = {
    "certainty and agreement": ("certainty", "agreement"),
    "certainty, agreement and reverse": ("certainty", "agreement", "reverse classification"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--maps", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    corpus, segmenter = Corpus(arguments.corpus), Segmenter(load(shipped.DEFAULT), window=(0, 1))
    cache = json.loads(arguments.out.read_text())["images"] if arguments.out.exists() else {}
    for trial in make_trials(corpus, **SHAPE):
        files = [maps_file(arguments.maps, trial, 0, model) for model in ("universeg", "protosam")]
        if not all(file.exists() for file in files):
            continue
        universeg, protosam = (dict(np.load(file)) for file in files)
        images, truths = read(corpus, trial.task, trial.targets)
        examples, labels = read(corpus, trial.task, trial.draws[0])
        for size in SIZES:
            name = f"{trial.task.name}, {size} examples"
            if f"protosam targets {size}" not in protosam or name in cache:
                continue
            ours, other = (
                found[f"{model} targets {size}"].astype(np.float32)
                for model, found in (("universeg", universeg), ("protosam", protosam))
            )
            mean = (ours + other) / 2
            backwards = [
                reverse(segmenter, image, one > 0.5, examples[:size][:MOST], labels)
                for image, one in zip(images, mean, strict=True)
            ]
            cache[name] = {
                "dice": dices(mean, truths).tolist(),
                "certainty": [certainty(one) for one in mean],
                "agreement": dices(ours, list(other > 0.5)).tolist(),
                "reverse classification": backwards,
            }
            write(arguments.out, cache)
            print(name, flush=True)
    for name, row in write(arguments.out, cache).items():
        print(f"{name:36} {row}")


def reverse(segmenter: Segmenter, image: np.ndarray, mask: np.ndarray, examples: list, labels: list) -> float:
    """Return the mean Dice of examples that are segmented from a predicted mask; 0 for an empty mask."""
    if not mask.any():
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SegmentationWarning)
        found = segmenter.fit([image], [mask]).predict_proba(examples)
    return float(dices(np.stack(found), labels[: len(examples)]).mean())


def write(file: Path, images: dict) -> dict:
    """Write all values and their summary, and return the summary."""
    found = summary(images)
    results = {"machine": machine(), "summary": found, "images": images}
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return found


def summary(images: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Compare predictions with the Dice of images: rank correlation within tasks, and correlation over all images."""
    predicted = {name: {key: own[key] for key in own if key != "dice"} for name, own in images.items()}
    if len(images) > 2:
        for regression, inputs in REGRESSIONS.items():
            for name in images:
                others = [own for other, own in images.items() if other.split(",")[0] != name.split(",")[0]]
                x = np.concatenate([_columns(own, inputs) for own in others])
                y = np.concatenate([own["dice"] for own in others])
                weights = np.linalg.lstsq(x, y, rcond=None)[0]
                predicted[name][regression] = (_columns(images[name], inputs) @ weights).tolist()
    found = {}
    for key in next(iter(predicted.values())):
        pairs = [(np.array(own[key]), np.array(images[name]["dice"])) for name, own in predicted.items()]
        within = [stats.spearmanr(*pair)[0] for pair in pairs if pair[0].std() > 0 and pair[1].std() > 0]
        whole = [np.concatenate(part) for part in zip(*pairs, strict=True)]
        found[key] = {
            "rank correlation within tasks": round(float(np.mean(within)), 3),
            "correlation": round(float(np.corrcoef(*whole)[0, 1]), 3),
            "mean absolute error": round(float(np.abs(whole[0] - whole[1]).mean()), 3),
        }
    return found


def _columns(own: dict[str, list[float]], inputs: tuple[str, ...]) -> np.ndarray:
    return np.stack([np.ones(len(own["dice"])), *(own[name] for name in inputs)], axis=1)


if __name__ == "__main__":
    run(main)
