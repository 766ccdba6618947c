"""`universeg-jax demo`: segment the shipped examples."""

import argparse
import json
from importlib.resources import as_file, files
from pathlib import Path

from universeg_jax.cli.shared import add_overwrite, add_quiet, add_weights
from universeg_jax.weights import shipped


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="segment the shipped examples: nuclei, fetal heads, and hippocampi in volumes",
        description="Segment three shipped tasks: cell nuclei (BBBC038), fetal heads (HC18), and hippocampi in MR "
        "volumes (Medical Segmentation Decathlon). Print Dice, and write masks and one overview picture.",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="folder to write (default: %(default)s)",
    )
    add_weights(
        parser,
        help="name or path of weights (default: the automatic choice of `predict`; for volumes open-v4, the fastest)",
        default=None,
    )
    add_overwrite(parser)
    add_quiet(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run `demo`.

    Raises:
        InputError: outputs exist, or weights cannot be loaded; nothing is written then.
    """
    # Imported here so that --help need not wait for JAX.
    from universeg_jax.io.overview import write_overview
    from universeg_jax.io.task_folder import find_targets, read_support
    from universeg_jax.segment.auto import AUTO
    from universeg_jax.segment.folder import Options, make_section, output_files, predict_targets
    from universeg_jax.segment.report import (
        choice_lines,
        dice_table,
        environment,
        forecast_of,
        task_report,
        warnings_on_stderr,
        write_report,
    )
    from universeg_jax.segment.segmenter import Segmenter
    from universeg_jax.segment.volume_folder import DemoVolumes
    from universeg_jax.util.outputs import check_outputs, complete_or_nothing

    options, sections, reports, tables = Options(), [], {}, []
    with warnings_on_stderr() as warned, as_file(files("universeg_jax") / "assets" / "examples") as examples:
        tasks = []
        listed = json.loads((examples / "examples.json").read_text(encoding="utf-8"))
        for about in (about for about in listed if about.get("kind") != "volumes"):
            place = examples / about["folder"]
            tasks.append((about, read_support(place / "support"), find_targets(place / "targets", place / "labels")))
        outputs = [
            f"{about['folder']}/{file}"
            for about, support, targets in tasks
            for file in output_files(support, targets, options)
        ]
        volumes = [DemoVolumes(about, examples) for about in listed if about.get("kind") == "volumes"]
        outputs += [file for task in volumes for file in task.output_files()]
        outputs += ["overview.png", "report.json"]
        check_outputs(arguments.out, outputs, overwrite=arguments.overwrite)
        weights = arguments.weights or shipped.DEFAULT
        segmenter, for_volumes = Segmenter(arguments.weights or AUTO), Segmenter(weights)
        with complete_or_nothing(arguments.out, new=() if arguments.overwrite else outputs) as folder:
            for about, support, targets in tasks:
                place = folder / about["folder"]
                records, task = predict_targets(
                    segmenter, support, targets, place, options, progress=not arguments.quiet
                )
                title = f"{about['title']}: {about['dataset']}, {_seen(about, weights)}"
                sections.append(
                    make_section(title, support, targets, records, place, forecast_of(records, task.choice))
                )
                reports[about["folder"]] = {"title": title, **task_report(support, records, task)}
                tables.append("\n".join([title, dice_table(support, records), *choice_lines(records, task.choice), ""]))
            for volume_task in volumes:
                title = f"{volume_task.title}, {_seen(volume_task.about, weights)}"
                section, scans, table = volume_task.run(for_volumes, folder, title, show=not arguments.quiet)
                sections.append(section)
                reports[volume_task.about["folder"]] = {"title": title, "scans": scans}
                tables.append(f"{title}\n{table}\n")
            write_overview(folder / "overview.png", sections)
            report = {"command": arguments.command_line, **environment(), "warnings": warned}
            write_report(folder / "report.json", {**report, "weights": arguments.weights or AUTO, "tasks": reports})
    if not arguments.quiet:
        print("", *tables, sep="\n")
        print(f"Look at {arguments.out / 'overview.png'}; the masks are in {arguments.out}/*/masks/.")


def _seen(about: dict, weights: str) -> str:
    """Say whether the weights were trained on a dataset: then its Dice does not measure new tasks."""
    if weights in about["seen_by"]:
        return f"seen by {weights} in training"
    if weights in about.get("new_to", ()):
        return f"new to {weights}"
    return f"not known to be seen by {weights}"
