"""`universeg-jax finetune`: train weights further on the labelled images of one task."""

import argparse
import sys
from pathlib import Path

from universeg_jax.weights import shipped

DESCRIPTION = """\
Train weights further on the labelled images of one task, and tell whether that helped.

  TASK/images/*  TASK/masks/*    as `predict --support` takes them; five examples or more, better twenty

A part of the examples is learned from, a part decides when to stop, and with ten or more a part is kept to measure
on. Written are

  RUN/best/                     the weights, for `predict --weights RUN/best`; with a model card
  RUN/before_after.md .png      Dice of the original and of the fine-tuned weights, shown the same examples
  RUN/report.json               the same, settings, versions, which examples were used for what

A run that was interrupted goes on when the same command is given again.
"""


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "finetune",
        help="train weights further on a task of your own",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", type=Path, metavar="TASK", help="folder with images/ and masks/")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "-w",
        "--weights",
        default=shipped.DEFAULT,
        help="of a UniverSeg: a known name, or a path (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="begin anew instead of going on")
    how = parser.add_argument_group("how to train")
    how.add_argument("--steps", type=int, default=500, metavar="N", help="at most (default: %(default)s)")
    how.add_argument(
        "--patience",
        type=int,
        default=6,
        metavar="N",
        help="stop when N validations in a row, one every 25 steps, were no better (default: %(default)s)",
    )
    how.add_argument("--learning-rate", type=float, default=3e-4, metavar="X", help="(default: %(default)s)")
    how.add_argument("--batch-size", type=int, default=1, metavar="N", help="targets of a step (default: %(default)s)")
    how.add_argument("--support", type=int, default=16, metavar="N", help="examples shown (default: %(default)s)")
    how.add_argument("--size", type=int, metavar="N", help="side of the images in pixels (default: as the weights)")
    how.add_argument("--seed", type=int, default=0, help="of everything random (default: %(default)s)")
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
        help="finds the subject in names of files: examples of a subject stay together",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors only")
    parser.set_defaults(run=run, extra="evaluate")


def run(arguments: argparse.Namespace) -> None:
    """Run `finetune`.

    Raises:
        InputError: for anything given that cannot be used; nothing is written then.
    """
    # Imported here so that --help need not wait for JAX.
    from dataclasses import asdict

    from universeg_jax.data.readers.detect import find_subjects
    from universeg_jax.io.overview import write_overview
    from universeg_jax.io.task_folder import read_support
    from universeg_jax.segment.report import environment, warnings_on_stderr, write_report
    from universeg_jax.train.finetune.before_after import compare, markdown, model_card, section
    from universeg_jax.train.finetune.run import REPORTS, FineTuning, FineTuningRun
    from universeg_jax.train.loop import STOPPED, Stopped
    from universeg_jax.util.outputs import check_apart, complete_or_nothing

    options = FineTuning(
        weights=arguments.weights,
        steps=arguments.steps,
        patience=arguments.patience,
        learning_rate=arguments.learning_rate,
        batch_size=arguments.batch_size,
        support_size=arguments.support,
        size=arguments.size,
        window=arguments.window and tuple(arguments.window),
        seed=arguments.seed,
    )
    out = arguments.out
    with warnings_on_stderr() as warned:
        examples = read_support(arguments.task)
        check_apart(out, [arguments.task], [*REPORTS, "best/MODEL_CARD.md"])
        subjects = None
        if arguments.subject_pattern:
            subjects = find_subjects(examples.names, arguments.subject_pattern, source=str(arguments.task))
        work = FineTuningRun(examples, options, subjects=subjects)
        if not arguments.quiet:
            print(_plan(work))
        try:
            tuned = work.train(out, overwrite=arguments.overwrite, quiet=arguments.quiet)
            comparison = compare(work, work.masks(work.original), work.masks(tuned))
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            raise SystemExit(STOPPED) from None
        except KeyboardInterrupt:
            print("interrupted; what was trained is kept: run the same command again to go on", file=sys.stderr)
            raise SystemExit(130) from None
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
    rest = f"{len(split.test)} kept to measure on" if split.test else "too few to keep some to measure on"
    return f"examples: {len(split.train)} to learn from, {len(split.validation)} to decide when to stop, {rest}"
