"""`universeg-jax evaluate`: measure how well weights segment labelled images."""

import argparse
from pathlib import Path

from universeg_jax.cli import evaluate_volumes, few_shot
from universeg_jax.cli.shared import add_command, add_out, add_overwrite, add_quiet, add_weights, resumable

DESCRIPTION = """\
Measure how well weights segment labelled images from a few examples.

  images    SOURCE/images/*  SOURCE/masks/*  of the same names, as `predict` takes them
  volumes   SOURCE/imagesTr/*.nii.gz  SOURCE/labelsTr/*.nii.gz, and the other layouts that `prepare` reads
  corpora   SOURCE/NAME/dataset.json, made by `prepare`; or one dataset of it

In a corpus, examples come from the train split and targets from the test split; volumes are single slices, scored in
2-D. Folders are cross-validated: each image is segmented once in each draw, from examples of other subjects. Each mask
value is a separate task. The command writes

  OUT/tables.md .tex      Dice, soft Dice, IoU, surface Dice, 95th percentile Hausdorff distance, with 95 % intervals
  OUT/results.json        the same, settings, versions
  OUT/*.png               Dice of every dataset, against the support size, gained by ensembling
  OUT/pictures/           best, middle and worst predictions of every task
  OUT/records.jsonl       every score

With --protocol volumes, each volume is segmented as a whole by `predict`'s choice of slices, from random draws of the
labelled volumes of other subjects. Scores are in 3-D and in millimetres, in OUT/volumes.md, .tex and .json.

The same command resumes an interrupted run, and may add support sizes, draws and ensembles.
"""


def add_parser(subparsers) -> None:
    parser = add_command(
        subparsers,
        "evaluate",
        help="measure how well weights segment labelled images",
        description=DESCRIPTION,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="labelled images, volumes, or a corpus")
    add_out(parser, metavar="OUT")
    add_weights(parser)
    parser.add_argument(
        "--protocol",
        choices=("in-context", "volumes", "few-shot"),
        default="in-context",
        help="volumes: whole volumes as `predict` segments them; few-shot: volumes by the protocol of SSL-ALPNet and "
        "ProtoSAM (default: %(default)s)",
    )
    add_overwrite(parser, help="start again instead of resuming")
    what = parser.add_argument_group("what to measure on")
    what.add_argument(
        "--tasks", nargs="+", metavar="PATTERN", help="tasks to measure, such as '*/MR/axial/*' (default: all)"
    )
    what.add_argument("--targets", type=int, metavar="N", help="largest number of cases of a task (default: all)")
    what.add_argument("--folds", type=int, metavar="K", help="cross-validate in K folds (default of folders: 5)")
    what.add_argument(
        "--minimum-area",
        type=float,
        default=0.001,
        metavar="FRACTION",
        help="skip images whose label covers a smaller fraction; 0 keeps empty masks (default: %(default)s)",
    )
    what.add_argument(
        "--subject-pattern", metavar="REGEX", help="pattern that finds the subject in file names of a folder"
    )
    what.add_argument(
        "--one-class", metavar="NAME", help="join all classes of a folder into one, such as instances of one structure"
    )
    what.add_argument("--modality", help="modality of volumes in a folder: CT means Hounsfield units")
    what.add_argument(
        "--axis", choices=("axial", "coronal", "sagittal"), help="axis along which volumes in a folder are cut"
    )
    how = parser.add_argument_group("how to segment")
    how.add_argument(
        "--support", type=int, nargs="+", metavar="S", help="numbers of examples (default: 16; of volumes 3)"
    )
    how.add_argument(
        "--draws", type=int, default=3, metavar="R", help="random draws of the examples (default: %(default)s)"
    )
    how.add_argument("--ensemble", type=int, metavar="K", help="measure the mean of K random support sets too")
    how.add_argument(
        "--pool", type=int, nargs="+", metavar="P", help="numbers of examples that ensembles draw from (default: all)"
    )
    how.add_argument(
        "--threshold", type=float, default=0.5, help="threshold of the probabilities (default: %(default)s)"
    )
    how.add_argument(
        "--tolerance",
        type=float,
        default=1.0,
        help="tolerance of surface Dice: pixels of 128x128, or millimetres for volumes (default: %(default)s)",
    )
    how.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default: %(default)s)")
    evaluate_volumes.add_options(parser)
    few_shot.add_options(parser)
    parser.add_argument("--no-pictures", action="store_true", help="skip the pictures of predictions")
    add_quiet(parser)
    parser.set_defaults(run=run, extra="evaluate")


def run(arguments: argparse.Namespace) -> None:
    """Run `evaluate`.

    Raises:
        InputError: unusable arguments; finished measurements stay.
    """
    if arguments.protocol != "volumes":
        evaluate_volumes.refuse_options(arguments)
    if arguments.protocol == "few-shot":
        few_shot.run(arguments)
        return
    few_shot.refuse_options(arguments)
    if arguments.protocol == "volumes":
        evaluate_volumes.run(arguments)
        return
    # Imported here so that --help need not wait for JAX.
    from universeg_jax.evaluate.methods import Ensemble, InContext, Method
    from universeg_jax.evaluate.protocol import EvaluationProtocol, with_defaults
    from universeg_jax.evaluate.report import OUTPUTS, notes, picture_files, tables_of, write_report
    from universeg_jax.evaluate.runner import RECORDS, evaluate
    from universeg_jax.segment.report import environment, warnings_on_stderr
    from universeg_jax.segment.segmenter import load_in_context
    from universeg_jax.util.outputs import check_apart, check_outputs, complete_or_nothing, own_output

    protocol = EvaluationProtocol(
        support_sizes=tuple(arguments.support or [16]),
        pools=tuple(arguments.pool or [None]),
        draws=arguments.draws,
        targets=arguments.targets,
        folds=arguments.folds,
        minimum_area=arguments.minimum_area,
        threshold=arguments.threshold,
        tolerance=arguments.tolerance,
        seed=arguments.seed,
    )
    out, progress = arguments.out, not arguments.quiet
    with warnings_on_stderr() as warned:
        check_apart(out, [arguments.source], OUTPUTS)
        check_outputs(out, OUTPUTS, overwrite=arguments.overwrite or (out / RECORDS).is_file())
        base = InContext(load_in_context(arguments.weights), Path(arguments.weights).name)
        methods: list[Method] = [base]
        if arguments.ensemble is not None:
            methods.append(Ensemble(base, arguments.ensemble))
        data = _open(arguments)
        protocol = with_defaults(protocol, data)
        with resumable("measurements are kept"), own_output(out):
            evaluation = evaluate(
                data,
                methods,
                protocol,
                out,
                tasks=_chosen(data, arguments.tasks),
                overwrite=arguments.overwrite,
                progress=progress,
            )
        about = {"command": arguments.command_line, **environment(), "weights": arguments.weights, "warnings": warned}
        reported = [*(file for file in OUTPUTS if file != RECORDS), *picture_files(data.tasks).values()]
        with complete_or_nothing(out, outputs=reported) as folder:
            pictured = not arguments.no_pictures
            write_report(folder, evaluation, data, methods, protocol, about=about, with_pictures=pictured)
    if not arguments.quiet:
        print(*(f"{table.text()}\n" for table in tables_of(evaluation)), sep="\n")
        print(*notes(data, evaluation, protocol), f"Tables, plots and pictures are in {out}.", sep="\n")


def _open(arguments: argparse.Namespace):
    """Open a corpus, one dataset of it, or a folder."""
    from universeg_jax.data.corpus.read import Corpus
    from universeg_jax.errors import InputError
    from universeg_jax.evaluate.data import CorpusData
    from universeg_jax.evaluate.folder_data import read_folder

    source = arguments.source
    one = (source / "index.npz").is_file()
    if one or any(source.glob("*/index.npz")):
        for option in ("axis", "modality", "subject_pattern", "one_class"):
            if getattr(arguments, option) is not None:
                raise InputError(
                    f"--{option.replace('_', '-')}: {source} is a corpus, for which that was decided when it was "
                    "prepared; leave the option out"
                )
        if one:
            return CorpusData(Corpus(source.resolve().parent), datasets=(source.resolve().name,))
        return CorpusData(Corpus(source))
    return read_folder(
        source,
        axis=arguments.axis,
        modality=arguments.modality,
        subject_pattern=arguments.subject_pattern,
        one_class=arguments.one_class or "",
        progress=not arguments.quiet,
    )


def _chosen(data, patterns: list[str] | None) -> list:
    from fnmatch import fnmatchcase

    from universeg_jax.errors import InputError

    chosen = [
        task for task in data.tasks if patterns is None or any(fnmatchcase(task.name, pattern) for pattern in patterns)
    ]
    if not chosen:
        known = ", ".join(task.name for task in data.tasks[:5])
        raise InputError(
            f"--tasks {' '.join(patterns or ['*'])}: matches none of {len(data.tasks)} tasks, such as {known}"
        )
    return chosen
