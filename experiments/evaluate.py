"""Claim: what weights reach on the datasets that no training run sees, as results/evaluation.md states it.

    python -m experiments.evaluate --corpus CORPUS --weights open-v0 --out DIR

CORPUS is made by `universeg-jax prepare` from public sources: WBC (zxaoyou/segmentation_WBC, JTSC), ACDC, dental
panoramic X-rays and HC18. The protocol is that of universeg_jax/evaluate/protocol.py; the headline is the mean Dice
over the tasks of the held-out datasets that can be evaluated. A run that was killed goes on when it is started again.
"""

import argparse
import shlex
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from experiments.benchmark.machine import machine
from universeg_jax.evaluate.data import CorpusData
from universeg_jax.evaluate.methods import Ensemble, InContext, Method
from universeg_jax.evaluate.protocol import Protocol
from universeg_jax.evaluate.report import evaluate, tables_of, write_report
from universeg_jax.tasks.selection import HELD_OUT
from universeg_jax.tasks.task import Corpus, Task
from universeg_jax.weights import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, support=[32], draws=2, targets=24)
    parser.add_argument("--ensemble", type=int, metavar="K", help="also an ensemble of K draws")
    parser.add_argument("--pictures", action="store_true", help="draw the best, middle and worst predictions")
    arguments = parser.parse_args()
    base = InContext(load(arguments.weights), weights_name(arguments.weights))
    methods: list[Method] = [base, Ensemble(base, arguments.ensemble)] if arguments.ensemble else [base]
    data = CorpusData(Corpus(arguments.corpus))
    protocol = protocol_of(arguments)
    evaluation = evaluate(data, methods, protocol, arguments.out, tasks=held_out_tasks(data), progress=True)
    write_report(
        arguments.out,
        evaluation,
        data,
        methods,
        protocol,
        about=about_run(),
        with_pictures=arguments.pictures,
    )
    print(*(table.text() for table in tables_of(evaluation)), sep="\n\n")


def add_options(parser: argparse.ArgumentParser, *, support: list[int], draws: int, targets: int) -> None:
    """The options that all experiments by the protocol take, with the scale that one is run at."""
    parser.add_argument("--corpus", type=Path, required=True, metavar="CORPUS", help="with the held-out datasets")
    parser.add_argument("--weights", default="open-v0", help="a known name, or a path (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="records, tables and plots")
    parser.add_argument("--support", type=int, nargs="+", default=support, help="support sizes (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=draws, help="of the support (default: %(default)s)")
    parser.add_argument("--targets", type=int, default=targets, help="per task, at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)


def protocol_of(arguments: argparse.Namespace) -> Protocol:
    return Protocol(
        support_sizes=tuple(arguments.support),
        draws=arguments.draws,
        targets=arguments.targets,
        seed=arguments.seed,
    )


def held_out_tasks(data: CorpusData) -> list[Task]:
    """The tasks of the held-out datasets that the corpus has."""
    return [task for task in data.tasks if any(fnmatchcase(task.dataset, name) for name in HELD_OUT)]


def weights_name(weights: str) -> str:
    """What tables call weights: the name, or the folder's."""
    return Path(weights).name


def about_run() -> dict:
    module = Path(sys.argv[0]).stem
    return {
        "command": shlex.join(["python", "-m", f"experiments.{module}", *_without_places(sys.argv[1:])]),
        "machine": machine(),
    }


def _without_places(argv: list[str]) -> list[str]:
    """The options, with the folders of one machine replaced."""
    places = {"--corpus": "CORPUS", "--out": "DIR"}
    return [places.get(before, word) for before, word in zip(["", *argv], argv, strict=False)]


if __name__ == "__main__":
    main()
