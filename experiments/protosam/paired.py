"""Claim: ProtoSAM beats its plain recipe, coarse against coarse and refined against refined, whatever the example.

    python -m experiments.protosam.paired --corpus HELDOUT --corpus TRAIN --out experiments/results

One random example, the same for both; ten of them, each with twelve random targets, on five held-out tasks and lungs in
chest X-rays (a dataset that defaults were chosen on). The plain recipe is prototypes without positions, and whatever
the decoder draws for the box of the most confident component.
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
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.tasks.task import Corpus, Task
from universeg_jax.weights.named import PROTOSAM, load

TASKS = (
    ("wbc_jtsc", "nucleus"),
    ("wbc_jtsc", "cytoplasm"),
    ("acdc_train", "LV"),
    ("acdc_train", "RV"),
    ("hc18_fetal_head", "fetal head"),
    ("cxr_lung", "lung"),
)
DRAWS, TARGETS = 10, 12


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
    found = {}
    for corpus, task in _tasks([Corpus(folder) for folder in arguments.corpus]):
        made = list(draws(corpus, task, number=DRAWS, targets=TARGETS, more=0))
        found[f"{task.dataset}, {task.label}"] = {
            half: [
                measure(corpus, task, made, Contender(half, ProtoSAM(sam, config=config), 1))["dice of draws"]
                for config in configs
            ]
            for half, configs in pairs.items()
        }
        print(*_row(task.name, found[f"{task.dataset}, {task.label}"]), flush=True)
        sam.forget()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {"draws": DRAWS, "targets": TARGETS, "machine": machine(), "ours, plain": found}
    (arguments.out / "protosam_paired.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "protosam_paired.md").write_text(page(found), encoding="utf-8")


def page(found: dict[str, dict[str, list[list[float]]]]) -> str:
    """Markdown of the Dice of every draw, [ours, plain] by task and half."""
    lines = [
        "# ProtoSAM and its plain recipe, by the same examples",
        "",
        "`python -m experiments.protosam.paired --corpus HELDOUT --corpus TRAIN --out experiments/results`",
        "",
        f"Mean Dice of {TARGETS} targets and {DRAWS} random examples; in brackets from the worst to the best example; "
        "by how many examples ours is ahead.",
        "",
        "| task | refined: ours | plain | ahead | coarse: ours | plain | ahead |",
        "|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(_row(name, halves))} |" for name, halves in found.items()),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, halves: dict[str, list[list[float]]]) -> list[str]:
    cells = [name]
    for ours, plain in halves.values():
        cells += [f"{np.mean(each):.3f} [{min(each):.2f}, {max(each):.2f}]" for each in (ours, plain)]
        cells.append(f"{sum(a > b for a, b in zip(ours, plain, strict=True))} of {len(ours)}")
    return cells


def _tasks(corpora: list[Corpus]) -> list[tuple[Corpus, Task]]:
    return [
        (corpus, task)
        for dataset, label in TASKS
        for corpus in corpora
        for task in corpus.tasks
        if task.dataset == dataset and task.label.startswith(label)
    ]


if __name__ == "__main__":
    run(main)
