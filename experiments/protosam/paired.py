"""Claim: over random examples ProtoSAM is ahead of its plain recipe, coarse and refined, except on refined LV.

    python -m experiments.protosam.paired --corpus HELDOUT --corpus TRAIN --out experiments/results

One random example and twelve random targets are drawn fifteen times from sixty images, the same for both. The tasks are
five held-out ones, and lungs in chest X-rays (a dataset that defaults were chosen on). The plain recipe is prototypes
without positions, and the decoder's mask for the box of the most confident component. Its Dice varies widely between
draws, so only a comparison on the same draws says something.

A stopped run resumes. Two quiet CPU cores take a quarter of an hour.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.benchmark.machine import machine
from experiments.command import run
from experiments.protosam.__main__ import ALL, PLAIN
from experiments.protosam.measure import Contender, RememberingSAM, draws, measure
from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.weights.loading import PROTOSAM, load

TASKS = (
    ("wbc_jtsc", "nucleus"),
    ("wbc_jtsc", "cytoplasm"),
    ("acdc_train", "LV"),
    ("acdc_train", "RV"),
    ("hc18_fetal_head", "fetal head"),
    ("cxr_lung", "lung"),
)
DRAWS, TARGETS, AMONG = 15, 12, 60
BEST = 3  # draws, those in which the plain recipe does best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, action="append", required=True, metavar="DIR", help="may be repeated")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of protosam_paired.{json,md}")
    arguments = parser.parse_args()
    sam = RememberingSAM(load(PROTOSAM))
    pairs = {
        "refined": (ProtoSAMConfig(), PLAIN),
        "coarse": (ProtoSAMConfig.coarse(), replace(PLAIN, components=ALL, refinement=None)),
    }
    file = arguments.out / "protosam_paired.json"
    arguments.out.mkdir(parents=True, exist_ok=True)
    settings = {
        "weights": PROTOSAM,
        "configurations": {half: {"ours": repr(ours), "plain": repr(plain)} for half, (ours, plain) in pairs.items()},
        "draws": DRAWS,
        "targets": TARGETS,
        "among": AMONG,
    }
    done = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    found = done["ours, plain"] if {name: done.get(name) for name in settings} == settings else {}
    for corpus, task in _tasks([Corpus(folder) for folder in arguments.corpus]):
        name = f"{task.dataset}, {task.label}"
        if name not in found:
            made = list(draws(corpus, task, number=DRAWS, targets=TARGETS, more=0, among=AMONG))
            found[name] = {
                half: [
                    measure(corpus, task, made, Contender(half, ProtoSAM(sam, config=config), 1))["dice of draws"]
                    for config in configs
                ]
                for half, configs in pairs.items()
            }
            sam.forget()
            results = {**settings, "machine": machine(), "ours, plain": found}
            file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        for half, both in found[name].items():
            print(*_row(name, both), half, flush=True)
    (arguments.out / "protosam_paired.md").write_text(page(found), encoding="utf-8")


def page(found: dict[str, dict[str, list[list[float]]]]) -> str:
    """Write a Markdown page of the Dice of every draw, [ours, plain] by task and half."""
    lines = [
        "# ProtoSAM and its plain recipe, by the same examples",
        "",
        "`python -m experiments.protosam.paired --corpus HELDOUT --corpus TRAIN --out experiments/results`",
        "",
        f"Mean Dice of {TARGETS} targets and {DRAWS} random examples; in brackets from the worst to the best draw; in "
        f"how many draws ours is ahead; and the same of the {BEST} draws in which the plain recipe does best, a choice "
        "that favours it.",
    ]
    for half in next(iter(found.values())):
        lines += ["", f"## {half.capitalize()}", ""]
        lines += [
            "| task | ours | plain | ahead | its best draws: ours | plain | ahead |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [f"| {' | '.join(_row(name, halves[half]))} |" for name, halves in found.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, both: list[list[float]]) -> list[str]:
    cells, (ours, plain) = [name], np.array(both)
    for chosen in (np.arange(len(plain)), np.argsort(plain)[-BEST:]):
        cells += [
            f"{each[chosen].mean():.3f} [{each[chosen].min():.2f}, {each[chosen].max():.2f}]" for each in (ours, plain)
        ]
        cells.append(f"{(ours > plain)[chosen].sum()} of {len(chosen)}")
    return cells


def _tasks(corpora: list[Corpus]) -> list[tuple[Corpus, CorpusTask]]:
    return [
        (corpus, task)
        for dataset, label in TASKS
        for corpus in corpora
        for task in corpus.tasks
        if task.dataset == dataset and task.label.startswith(label)
    ]


if __name__ == "__main__":
    run(main)
