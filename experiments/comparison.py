"""Shared parts of the experiments that follow the evaluation protocol: options, held-out tasks, reports."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from experiments.benchmark.machine import machine
from universeg_jax.cli.shared import add_weights
from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.evaluate.data import CorpusData
from universeg_jax.evaluate.methods import InContext, Method
from universeg_jax.evaluate.protocol import EvaluationProtocol
from universeg_jax.evaluate.report import notes, tables_of, write_report
from universeg_jax.evaluate.runner import Evaluation
from universeg_jax.evaluate.summary import Condition
from universeg_jax.segment.segmenter import load_in_context

LARGE = ("*acdc*", "*dental*", "*hc18*", "*wbc*")
"""Held-out datasets with enough images for splits."""


def make_parser(
    description: str, *, support: list[int], draws: int, targets: int, weights: bool = True
) -> argparse.ArgumentParser:
    """Make a parser of the shared options, with defaults that set the scale; `weights` adds --weights."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="CORPUS", help="corpus of held-out datasets")
    if weights:
        add_weights(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="records, tables and plots")
    parser.add_argument("--support", type=int, nargs="+", default=support, help="support sizes (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=draws, help="draws of the support (default: %(default)s)")
    parser.add_argument("--targets", type=int, default=targets, help="most targets of a task (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tasks", nargs="+", metavar="PATTERN", help="only tasks that match (default: all)")
    return parser


def protocol_of(arguments: argparse.Namespace) -> EvaluationProtocol:
    return EvaluationProtocol(
        support_sizes=tuple(arguments.support),
        draws=arguments.draws,
        targets=arguments.targets,
        seed=arguments.seed,
    )


def network_of(arguments: argparse.Namespace) -> InContext:
    """Load the network of --weights."""
    return named(arguments.weights)


def named(weights: str) -> InContext:
    """Load a network, named after its weights or their folder."""
    return InContext(load_in_context(weights), Path(weights).name)


def held_out(arguments: argparse.Namespace, *, resolution: int = 128) -> tuple[CorpusData, list[CorpusTask]]:
    """Open the corpus and list the tasks of the large held-out datasets in it."""
    data = CorpusData(Corpus(arguments.corpus, resolution=resolution))
    tasks = [task for task in data.tasks if any(fnmatchcase(task.dataset, name) for name in LARGE)]
    return data, matching(tasks, arguments.tasks)


def too_small(data: CorpusData, held: Sequence[CorpusTask]) -> list[CorpusTask]:
    """List the tasks of all other datasets: held-out sets that are too small to be split."""
    names = {task.dataset for task in held}
    return [task for task in data.tasks if task.dataset not in names]


def matching(tasks: Sequence[CorpusTask], patterns: Sequence[str] | None) -> list[CorpusTask]:
    """Select the tasks whose names match a pattern; None selects all."""
    return [t for t in tasks if patterns is None or any(fnmatchcase(t.name, pattern) for pattern in patterns)]


def report(
    arguments: argparse.Namespace,
    evaluation: Evaluation,
    data: CorpusData,
    methods: Sequence[Method],
    protocol: EvaluationProtocol,
    *,
    baseline: Condition | None = None,
    with_pictures: bool = False,
) -> None:
    """Write tables and plots, and print the tables."""
    write_report(
        arguments.out,
        evaluation,
        data,
        methods,
        protocol,
        about=about_run(),
        baseline=baseline,
        with_pictures=with_pictures,
    )
    print(*(table.text() for table in tables_of(evaluation, baseline)), sep="\n\n", end="\n\n")
    print(*notes(data, evaluation, protocol), sep="\n")


def about_run() -> dict:
    """Describe the run: the command, without folders of this machine, and the machine."""
    folders = {"--corpus": "CORPUS", "--train": "TRAIN", "--runs": "RUNS", "--out": "DIR"}
    places = {option: lambda _, name=name: name for option, name in folders.items()}
    places["--weights"] = lambda path: Path(path).name
    pairs = zip(sys.argv, sys.argv[1:], strict=False)
    words = [places[before](word) if before in places else word for before, word in pairs]
    module = Path(sys.argv[0]).stem
    return {"command": shlex.join(["python", "-m", f"experiments.{module}", *words]), "machine": machine()}
