"""Run all experiments of the evaluation, and write one page of what they found.

    python -m experiments.all_evaluations --corpus CORPUS --out experiments/results

Each is a command of its own too; results/evaluation.md names them. What DIR's records.jsonl hold is not measured again.
Two quiet CPU cores take an hour.
"""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

from experiments.command import run
from universeg_jax import shipped
from universeg_jax.errors import InputError

PAGE = "evaluation.md"
# Folder, module, options, heading.
EXPERIMENTS = (
    ("heldout", "evaluate", ["--pictures", "--against", "open-v0"], "Held-out datasets"),
    (
        "small_sets",
        "small_sets",
        ["--against", "open-v3", "open-v2", "open-v1", "open-v0"],
        "Held-out sets too small to be split",
    ),
    ("support_size", "support_size", [], "Support size and ensembling"),
    ("pools", "pools", [], "Few labelled examples in all"),
    ("bounds", "bounds", [], "Bounds"),
    ("methods", "inference", [], "Ensembles, test-time augmentation, retrieval"),
    ("robustness", "robustness", [], "Robustness"),
    ("demo_steps", "demo_steps", [], "The official demo's steps"),
)
# It needs a corpus to learn from, so it is run by itself.
ABLATIONS = ("ablations", "ablations", [], "Ablations by short trainings")
CONTEXT = """\
The paper (Butoi et al., ICCV 2023), for context and not for comparison (other splits, subsets and preparation; ACDC's
patients are unknown here and leak between support and target; dental is teeth alone; WBC is one of two subsets): Dice
of UniverSeg with 64 examples, mean over 5 draws, ACDC 70.9, PanDental 87.5, WBC 90.6, mean over its 17 held-out tasks
71.8; nnU-Net trained on each task 82.5, 92.9, 95.1, 84.4. By support size 1, 2, 4, 8, 16, 32, 64, one network trained
for each: 53.4, 56.8, 63.1, 65.8, 69.8, 70.2, 70.9; with ensembling 55.7, 59.9, 65.6, 68.4, 71.1, 71.4, 71.7.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="CORPUS", help="with the held-out datasets")
    parser.add_argument("--weights", default=shipped.DEFAULT, help="a known name, or a path (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder for each experiment")
    arguments = parser.parse_args()
    for folder, module, options, _ in EXPERIMENTS:
        given = {"corpus": arguments.corpus, "weights": arguments.weights, "out": arguments.out / folder}
        words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        code = subprocess.run([sys.executable, "-m", f"experiments.{module}", *words, *options]).returncode
        if code:
            raise InputError(f"experiments.{module} left with exit code {code}; what it said is above")
    (arguments.out / PAGE).write_text(page(arguments.out), encoding="utf-8")


def page(results: Path) -> str:
    """Markdown: of every experiment that was run, its claim, command, tables and plots."""
    sections = [f"# What the weights reach, and what changes it\n\n{CONTEXT}"]
    for folder, module, _, heading in (*EXPERIMENTS, ABLATIONS):
        if (results / folder / "results.json").is_file():
            sections.append(_section(results, folder, module, heading))
    return "\n".join(sections)


def _section(results: Path, folder: str, module: str, heading: str) -> str:
    found = json.loads((results / folder / "results.json").read_text(encoding="utf-8"))
    claim = importlib.import_module(f"experiments.{module}").__doc__.split("\n\n")[0].removeprefix("Claim: ")
    claim = claim[0].upper() + claim[1:]
    machine = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    lines = [
        f"## {heading}\n",
        f"*{claim}*\n",
        f"`{found['command']}`\n",
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, {versions}.\n",
        _tables(results / folder),
        *(f"![{plot.stem}]({folder}/{plot.name})\n" for plot in sorted((results / folder).glob("*.png"))),
    ]
    return "\n".join(lines)


def _tables(folder: Path) -> str:
    """The tables of an experiment without its heading and command."""
    text = (folder / "tables.md").read_text(encoding="utf-8")
    return text.split("\n\n", 2)[2]


if __name__ == "__main__":
    run(main)
