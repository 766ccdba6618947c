"""`universeg-jax finetune`: train weights further on the labelled images of one task."""

import argparse
import sys
from pathlib import Path

from universeg_jax.cli.shared import add_command, add_out, add_overwrite, add_quiet, add_weights, resumable

AXES = ("axial", "coronal", "sagittal")
FOR_VOLUMES = {"axis": None, "channel": None, "modality": None, "labelled_slices": False}

DESCRIPTION = """\
Train weights further on the labelled images of one task, and report whether that helped.

  TASK/images/*  TASK/masks/*    as for `predict --support`; at least five examples, better twenty; or five volumes,
                                 whose slices are the examples

One part of the examples is for training, one decides when to stop. With ten examples or more, a third part measures
the result. The command writes

  RUN/best/                     weights for `predict --weights RUN/best`, and a model card
  RUN/before_after.md .png      Dice of the original and of the fine-tuned weights, from the same examples
  RUN/report.json               Dice, settings, versions, and the part of each example

The same command resumes an interrupted run.
"""


def add_parser(subparsers) -> None:
    parser = add_command(subparsers, "finetune", help="train weights further on your own task", description=DESCRIPTION)
    parser.add_argument("task", type=Path, metavar="TASK", help="folder with images/ and masks/")
    add_out(parser, help="folder of the run", metavar="RUN")
    add_weights(parser, help="name or path of weights of a UniverSeg (default: %(default)s)")
    add_overwrite(parser, help="start again instead of resuming")
    how = parser.add_argument_group("how to train")
    how.add_argument(
        "--steps", type=int, default=500, metavar="N", help="largest number of steps (default: %(default)s)"
    )
    how.add_argument(
        "--patience",
        type=int,
        default=6,
        metavar="N",
        help="stop after N validations in a row without a better one; they are 25 steps apart (default: %(default)s)",
    )
    how.add_argument(
        "--learning-rate", type=float, default=3e-4, metavar="X", help="learning rate (default: %(default)s)"
    )
    how.add_argument("--batch-size", type=int, default=1, metavar="N", help="targets in a step (default: %(default)s)")
    how.add_argument(
        "--support", type=int, default=16, metavar="N", help="examples in a support set (default: %(default)s)"
    )
    how.add_argument(
        "--size",
        type=int,
        metavar="N",
        help="side of the images in pixels (default: side that the weights were trained on)",
    )
    how.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default: %(default)s)")
    what = parser.add_argument_group("about the images")
    what.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="intensities that become 0 and 1 (default: each image's own range)",
    )
    what.add_argument(
        "--subject-pattern",
        metavar="REGEX",
        help="pattern that finds the subject in file names; examples of one subject stay together",
    )
    what.add_argument(
        "--axis", choices=AXES, help="cut volumes along this axis (default: the axis of the thickest slices)"
    )
    what.add_argument("--labelled-slices", action="store_true", help="leave out slices of volumes without any label")
    what.add_argument("--channel", type=int, metavar="N", help="channel to read of volumes with several, from 0")
    what.add_argument(
        "--modality",
        choices=("CT", "MR"),
        help="modality of volumes, which scales intensities (default: from DICOM; else MR)",
    )
    add_quiet(parser)
    parser.set_defaults(run=run, extra="train")


def run(arguments: argparse.Namespace) -> None:
    """Run `finetune`.

    Raises:
        InputError: unusable arguments; nothing is written then.
    """
    # Imported here so that --help need not wait for JAX.
    from dataclasses import asdict

    from universeg_jax.io.overview import write_overview
    from universeg_jax.segment.report import environment, warnings_on_stderr, write_report
    from universeg_jax.train.finetune.before_after import compare, markdown, model_card, section
    from universeg_jax.train.finetune.run import REPORTS, FineTuning, FineTuningRun
    from universeg_jax.train.loop import STOPPED, Stopped
    from universeg_jax.util.outputs import check_apart, complete_or_nothing

    volumes = _volumes(arguments)
    window = (0.0, 1.0) if volumes else arguments.window and tuple(arguments.window)  # slices of volumes are scaled
    options = FineTuning(
        weights=arguments.weights,
        steps=arguments.steps,
        patience=arguments.patience,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        support_size=arguments.support,
        size=arguments.size,
        window=window,
        seed=arguments.seed,
    )
    out = arguments.out
    with warnings_on_stderr() as warned:
        check_apart(out, [arguments.task], [*REPORTS, "best/MODEL_CARD.md"])
        examples, subjects = _examples(arguments, volumes)
        work = FineTuningRun(examples, options, subjects=subjects)
        if not arguments.quiet:
            print(_plan(work))
        try:
            with resumable("finished steps are kept"):
                tuned = work.train(out, overwrite=arguments.overwrite, quiet=arguments.quiet)
                comparison = compare(work, work.masks(work.original), work.masks(tuned))
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            raise SystemExit(STOPPED) from None
        table = markdown(comparison, out)
        with complete_or_nothing(out) as folder:
            (folder / "before_after.md").write_text(table, encoding="utf-8")
            write_overview(folder / "before_after.png", [section(work, comparison)])
            (folder / "best").mkdir()
            (folder / "best" / "MODEL_CARD.md").write_text(model_card(work, comparison), encoding="utf-8")
            parts = {part: [examples.names[i] for i in indices] for part, indices in asdict(work.split).items()}
            about = {"command": arguments.command_line, **environment(), "settings": asdict(options)}
            report = {**about, "examples": parts, **comparison.report(), "warnings": warned}
            write_report(folder / "report.json", report)
    if not arguments.quiet:
        print(f"\n{table}\nLook at {out / 'before_after.png'}.")


def _plan(work) -> str:
    split = work.split
    rest = f"{len(split.test)} to measure the result" if split.test else "too few to measure the result"
    return f"examples: {len(split.train)} for training, {len(split.validation)} to decide when to stop, {rest}"


def _volumes(arguments: argparse.Namespace) -> bool:
    """Tell whether the task holds volumes.

    Raises:
        InputError: an option of volumes for pictures.
    """
    from universeg_jax.errors import InputError
    from universeg_jax.io.volume_folder import holds_volumes

    volumes = holds_volumes(arguments.task)
    for name, default in FOR_VOLUMES.items():
        if not volumes and getattr(arguments, name) != default:
            raise InputError(f"--{name.replace('_', '-')} is for volumes; {arguments.task} holds none")
    return volumes


def _examples(arguments: argparse.Namespace, volumes: bool):
    """Read the labelled examples, and the subject of each or None."""
    from universeg_jax.data.readers.detect import find_subjects
    from universeg_jax.io.task_folder import LABELLING, read_support
    from universeg_jax.io.volume_folder import open_volume_folder
    from universeg_jax.segment.labelled_slices import read_examples

    pattern, source = arguments.subject_pattern, str(arguments.task)
    if not volumes:
        examples = read_support(arguments.task)
        return examples, find_subjects(examples.names, pattern, source=source) if pattern else None
    examples, subjects, _ = read_examples(
        open_volume_folder(arguments.task, channel=arguments.channel),
        axis=arguments.axis,
        modality=arguments.modality or "",
        window=arguments.window and tuple(arguments.window),
        labelled_only=arguments.labelled_slices or (arguments.task / LABELLING).is_dir(),
    )
    return examples, find_subjects(subjects, pattern, source=source) if pattern else subjects
