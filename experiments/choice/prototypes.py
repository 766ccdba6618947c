"""ProtoSAM with many examples: which of them to compare a target with.

    python -m experiments.choice.prototypes --corpus POOL --encodings DIR --out FILE.json

Coarse masks from all examples, and from those most similar to each target by several measures of similarity. Targets
are scored at every second feature, which is four times as fast and the same for all rows. A stopped run resumes.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from experiments.benchmark.machine import machine
from experiments.choice.encode import SHAPE
from experiments.choice.stored_sam import StoredSAM
from experiments.choice.trials import make_trials, read
from experiments.command import run
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.evaluate.metrics import dice
from universeg_jax.models.protosam.alp import Prototypes, centres, prototypes, unit
from universeg_jax.models.protosam.components import choose_components, count, find_components, union
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.linear import fit_linear, linear_scores
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.models.similarity import similarity
from universeg_jax.nn.resample import resize_linear
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.weights.loading import PROTOSAM, load

CONFIG = ProtoSAMConfig.coarse()
TARGETS = 4  # of each trial
NEAREST = (1, 2, 4, 8)


@dataclass(frozen=True)
class Support:
    """Encoded examples: features (S,h,w,C), label maps (1,S,H,W), and the largest number of components in a mask."""

    features: np.ndarray
    maps: np.ndarray
    components: int

    @property
    def anywhere(self) -> np.ndarray:
        return np.array([self.components > CONFIG.countless])

    def linear(self, entries: np.ndarray):
        counts = np.ones((1, len(entries)), bool)
        maps = self.maps[:, entries]
        return fit_linear(self.features[entries], maps, counts, self.anywhere, CONFIG.alp, CONFIG.linear)

    def known(self) -> Prototypes:
        counts = np.ones(self.maps.shape[:2], bool)
        return prototypes(jnp.asarray(self.features), jnp.asarray(self.maps), counts, self.anywhere, CONFIG.alp)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--encodings", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    corpus, sam = Corpus(arguments.corpus), StoredSAM(load(PROTOSAM), arguments.encodings)
    model = ProtoSAM(sam, config=CONFIG)
    segmenter = Segmenter(model, window=(0, 1))
    found = json.loads(arguments.out.read_text())["dice"] if arguments.out.exists() else {}
    for trial in make_trials(corpus, **SHAPE):
        if trial.task.name in found:
            continue
        images, labels = read(corpus, trial.task, [*trial.draws[0], *trial.targets[:TARGETS]])
        pixels = np.stack([segmenter.view(image).pixels for image in images])
        features = np.concatenate([np.asarray(model.encoder(one[None], embedding=False).features) for one in pixels])
        size = len(trial.draws[0])
        maps = np.stack([segmenter.view(label.astype(float)).pixels[..., 0] for label in labels[:size]])
        most = max(count(label, CONFIG.components) for label in labels[:size])
        support = Support(features[:size], maps[None], most)
        rows = list(measure(support, pixels, features[size:], labels[size:]))
        found[trial.task.name] = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
        results = {"machine": machine(), "targets": TARGETS, "dice": found}
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(trial.task.name, found[trial.task.name], flush=True)
    for name in next(iter(found.values())):
        shared = [rows[name] for rows in found.values() if name in rows]
        print(f"{name:32} {np.mean(shared):.3f} over {len(shared)}")


def measure(support: Support, pixels: np.ndarray, targets: np.ndarray, truths: list[np.ndarray]) -> Iterator[dict]:
    """Yield the Dice of each target by the way its examples are chosen."""
    size, known = len(support.features), support.known()
    everyone = np.arange(size)
    linear = support.linear(everyone)
    alike = {
        "thumbnails": similarity(pixels[size:], pixels[:size]),
        "features on a grid": _pooled(targets, 8) @ _pooled(support.features, 8).T,
        "mean feature": _pooled(targets, 1) @ _pooled(support.features, 1).T,
    }
    for number, (features, truth) in enumerate(zip(targets, truths, strict=True)):
        score = Scorer(known, features, support.components, truth)
        added = score.linear(linear)
        row = {"all": score.dice(everyone, added)}
        for how, values in alike.items():
            order = np.argsort(-values[number], kind="stable")
            for nearest in NEAREST if how == "thumbnails" else (2, 4):
                if nearest < size:
                    row[f"{nearest} by {how}"] = score.dice(order[:nearest], added)
        near = np.argsort(-alike["thumbnails"][number], kind="stable")[:4]
        row["4 by thumbnails, own classifier"] = score.dice(near, score.linear(support.linear(near)))
        yield row


class Scorer:
    """Coarse scores of one target from any of the examples; similarities to all prototypes are computed once."""

    def __init__(self, known: Prototypes, features: np.ndarray, components: int, truth: np.ndarray):
        self._components, self._truth, self._features = components, truth, features[::2, ::2]
        height, width, channels = self._features.shape
        pixel = np.asarray(unit(jnp.asarray(self._features))).reshape(-1, channels)
        where = np.asarray(centres(*features.shape[:2]))[::2, ::2].reshape(-1, 2)
        weight, scale = float(known.position_weight[0]), CONFIG.alp.scale
        cells, self._size = np.asarray(known.cells), (height, width)
        distance = ((where[:, None] - np.asarray(known.places)) ** 2).sum(axis=-1)
        self._local = scale * np.einsum("pc,snc->spn", pixel, cells, optimize=True) - weight * distance
        away = ((where[:, None] - np.asarray(known.foreground_place[0])) ** 2).sum(axis=-1)
        away = np.maximum(away - 2 * np.asarray(known.foreground_spread[0]), 0)
        self._means = scale * pixel @ np.asarray(known.foreground_mean[0]).T - weight * away
        self._inside, self._outside = np.asarray(known.foreground[0]), np.asarray(known.background[0])
        self._shown = np.asarray(known.has_foreground[0])

    def linear(self, classifier) -> np.ndarray:
        """Scores of the classifier, times its weight."""
        found = linear_scores(jnp.asarray(self._features[None]), classifier)
        return CONFIG.linear.weight * np.asarray(found).reshape(-1)

    def dice(self, entries: np.ndarray, added: np.ndarray) -> float:
        """Dice of the mask from some examples."""
        background = _mean(np.concatenate([self._local[e][:, self._outside[e]] for e in entries], axis=1))
        foreground = [
            _mean(np.concatenate([self._local[e][:, self._inside[e]], self._means[:, e : e + 1]], axis=1))
            for e in entries
            if self._shown[e]
        ]
        logits = (np.max(foreground, axis=0) - background + added).reshape(1, *self._size, 1)
        side = self._truth.shape[0]
        logits = np.asarray(resize_linear(jnp.asarray(logits, jnp.float32), (side, side)))[0, ..., 0]
        limit = None if self._components > CONFIG.countless else self._components
        kept = choose_components(find_components(expit(logits)), CONFIG.components, limit)
        return dice(union(kept, logits.shape), self._truth)


def _mean(values: np.ndarray) -> np.ndarray:
    weights = np.exp(values - values.max(axis=1, keepdims=True))
    return (weights * values).sum(axis=1) / weights.sum(axis=1)


def _pooled(features: np.ndarray, side: int) -> np.ndarray:
    """Mean features on a coarse grid, without the mean over images, of unit length."""
    number, channels = features.shape[0], features.shape[-1]
    grid = jax.image.resize(features, (number, side, side, channels), "linear", antialias=True)
    flat = np.asarray(grid).reshape(number, -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


if __name__ == "__main__":
    run(main)
