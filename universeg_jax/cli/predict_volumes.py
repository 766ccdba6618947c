"""Options and run of `universeg-jax predict` for volumes."""

import argparse
from contextlib import ExitStack
from pathlib import Path

OPTIONS_FOR_PICTURES = {"ensemble": 1, "probabilities": False, "similar": None}
"""Options of pictures with their defaults."""

OPTIONS_FOR_VOLUMES = {
    "axis": None,
    "labelled_slices": False,
    "channel": None,
    "modality": None,
    "largest_component": False,
    "islands": 0.0,
    "smoothing": None,
    "dicom_seg": False,
}
"""Options of volumes with their defaults."""

AXES = ("axial", "coronal", "sagittal", "all")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of volumes."""
    what = parser.add_argument_group("volumes")
    what.add_argument(
        "--axis",
        "--axes",
        choices=AXES,
        help="cut volumes along this axis; all takes the mean over axes (default: the axis of the thickest slices)",
    )
    what.add_argument(
        "--labelled-slices",
        action="store_true",
        help="leave out slices of the support without any label, as for folders that the page labelled",
    )
    what.add_argument("--channel", type=int, metavar="N", help="channel to read of volumes with several, from 0")
    what.add_argument(
        "--modality", choices=("CT", "MR"), help="modality, which scales intensities (default: from DICOM; else MR)"
    )
    what.add_argument("--largest-component", action="store_true", help="keep the largest component of each structure")
    what.add_argument(
        "--islands",
        type=float,
        default=0.0,
        metavar="PART",
        help="remove components smaller than this part of the largest (default: keep all)",
    )
    what.add_argument(
        "--smoothing",
        type=float,
        metavar="SLICES",
        help="smooth probabilities across slices by a Gaussian of this standard deviation; 0 is off (default: 0.5)",
    )
    what.add_argument("--dicom-seg", action="store_true", help="write DICOM SEG that references the series")


def refuse_options_of_volumes(arguments: argparse.Namespace) -> None:
    """Refuse options of volumes for pictures.

    Raises:
        InputError: one of them was given.
    """
    _refuse(arguments, OPTIONS_FOR_VOLUMES, "is for volumes; leave it out for pictures")


def _refuse(arguments: argparse.Namespace, options: dict, reason: str) -> None:
    from universeg_jax.errors import InputError

    for option, default in options.items():
        given = getattr(arguments, option)
        if given != default or given is True:  # True equals 1
            raise InputError(f"--{option.replace('_', '-')} {reason}")


def takes_volumes(arguments: argparse.Namespace) -> bool:
    """Tell whether the support or the images are volumes."""
    from universeg_jax.io.volume_folder import find_volumes, holds_volumes

    return holds_volumes(arguments.support) or bool(find_volumes(arguments.images))


def run_volumes(arguments: argparse.Namespace, load, model: str, weights: str) -> None:
    """Run `predict` where the support or the images are volumes.

    Args:
        arguments: arguments of the command line.
        load: makes the segmenter; called after everything given was checked.
        model: name of its model.
        weights: name of its weights.

    Raises:
        InputError: for anything given that cannot be used. Scans that were finished stay.
    """
    import sys

    from universeg_jax.backend import return_freed_arrays
    from universeg_jax.errors import InputError
    from universeg_jax.evaluate.methods import digest
    from universeg_jax.io.overview import write_overview
    from universeg_jax.io.sheet import Section, ShownExample
    from universeg_jax.io.task_folder import LABELLING, read_support
    from universeg_jax.io.volume_files import is_series
    from universeg_jax.io.volume_folder import VolumeFolder, find_volumes, holds_volumes, open_volume_folder
    from universeg_jax.segment.folder import evenly
    from universeg_jax.segment.postprocess import Cleaning
    from universeg_jax.segment.report import choice_lines, choice_report, environment, forecast_of, warnings_on_stderr
    from universeg_jax.segment.slice_choice import SliceChoice
    from universeg_jax.segment.volume import SMOOTHING, fit_pictures, fit_volumes
    from universeg_jax.segment.volume_folder import (
        Progress,
        mask_file,
        predict_volumes,
        scan_results,
        support_examples,
        volume_table,
    )
    from universeg_jax.util.files import content_digest
    from universeg_jax.util.outputs import check_apart, check_outputs, own_output

    _refuse(arguments, OPTIONS_FOR_PICTURES, "is for pictures; leave it out for volumes")
    return_freed_arrays()
    size = {} if arguments.support_size is None else {"size": arguments.support_size}
    choice = SliceChoice(seed=arguments.seed, **size)
    cleaning = Cleaning(arguments.largest_component, arguments.islands)
    smoothing = SMOOTHING if arguments.smoothing is None else arguments.smoothing
    out = arguments.out
    with warnings_on_stderr() as warned, ExitStack() as stack:
        targets = find_volumes(arguments.images, arguments.labels)
        if not targets:
            return _run_pictures(arguments, load, weights, choice, warned)
        if arguments.dicom_seg and not all(is_series(target.image) for target in targets):
            raise InputError("--dicom-seg: the scans must be DICOM series, which the segmentation references")
        support = (
            open_volume_folder(arguments.support, channel=arguments.channel)
            if holds_volumes(arguments.support)
            else read_support(arguments.support)
        )
        files = [mask_file(target, dicom_seg=arguments.dicom_seg) for target in targets]
        inputs = [given for given in (arguments.support, arguments.images, arguments.labels) if given]
        check_apart(out, inputs, [*files, "overview.png", "report.json"])
        if not (out / "report.json").exists():
            check_outputs(out, files, overwrite=arguments.overwrite)
        # The page may have labelled some of the slices. The others may be unchecked.
        labelled_slices = arguments.labelled_slices or (arguments.support / LABELLING).is_dir()
        segmenter = load()
        segmenter.progress = not arguments.quiet
        settings = {
            "model": model,
            "weights": weights,
            "axis": arguments.axis,
            "labelled_slices": labelled_slices,
            "channel": arguments.channel,
            "modality": arguments.modality,
            "window": arguments.window and list(arguments.window),
            "threshold": arguments.threshold,
            "largest_component": arguments.largest_component,
            "islands": arguments.islands,
            "smoothing": smoothing,
            "choice": vars(choice),
            "models": [digest(model) for model in segmenter.blend.models],
        }
        names = [file.name for file in support.files] if isinstance(support, VolumeFolder) else support.names
        about = {"command": arguments.command_line, **environment(), "settings": settings}
        version = content_digest(arguments.support)
        about["support"] = {"folder": str(arguments.support), "names": names, "digest": version}
        stack.enter_context(own_output(out))
        progress = Progress.of(out, about, overwrite=arguments.overwrite)
        options = {"choice": choice, "threshold": arguments.threshold, "smoothing": smoothing, "cleaning": cleaning}
        if isinstance(support, VolumeFolder):
            task = fit_volumes(
                segmenter,
                support,
                axis=arguments.axis,
                modality=arguments.modality or "",
                labelled_slices=labelled_slices,
                **options,
            )
            classes = {int(value): support.class_names.get(int(value), str(value)) for value in task.values[1:]}
        else:
            axis = arguments.axis or "axial"
            task = fit_pictures(segmenter, support.images, support.labels, support.names, axis=axis, **options)
            classes = {value: support.class_names[value] for value in task.values[1:].tolist()}
        axis, quiet = task.pools[0].axis, arguments.quiet
        by = weights if task.choice is None else task.choice.name
        done = {"channel": arguments.channel, "dicom_seg": arguments.dicom_seg, "show": not quiet}
        try:
            predict_volumes(task, classes, targets, out, progress, **done)
        except KeyboardInterrupt:
            finished = f"{len(progress.records)} of {len(targets)} scans are finished and kept"
            print(f"interrupted; {finished}: run the same command again to resume", file=sys.stderr)
            raise SystemExit(130) from None
        records = progress.scans
        progress.write(warnings=warned, **choice_report(task.choice, records))
        examples = (
            support_examples(support, axis)
            if isinstance(support, VolumeFolder)
            else [ShownExample(names[i], support.images[i], support.labels[i]) for i in evenly(len(names), 8)]
        )
        title = f"{Path(*arguments.support.resolve().parts[-2:])}, segmented by {by}"
        kind = "volumes" if isinstance(support, VolumeFolder) else "pictures"
        note = f"{len(names)} labelled {kind}, above; {len(targets)} scans segmented, {axis} slices below"
        note += f"; {forecast}" if (forecast := forecast_of(records, task.choice)) else ""
        results = scan_results(targets, out, progress, axis, channel=arguments.channel)
        write_overview(out / "overview.png", [Section(title, note, classes, examples, results)])
    if not quiet:
        if arguments.labels:
            print(volume_table(progress), end="\n\n")
        for line in choice_lines(records, task.choice):
            print(line)
        print(f"{len(targets)} masks by {by} in {out / 'masks'}, overview in {out / 'overview.png'}")


def _run_pictures(arguments: argparse.Namespace, load, weights: str, choice, warned: list[str]) -> None:
    """Segment pictures by slices of labelled volumes."""
    from universeg_jax.io.masks import GreyCoding, write_mask
    from universeg_jax.io.overview import write_overview
    from universeg_jax.io.pictures import read_image
    from universeg_jax.io.sheet import Result, Section
    from universeg_jax.io.task_folder import find_targets
    from universeg_jax.io.volume_folder import open_volume_folder
    from universeg_jax.segment.folder import evenly
    from universeg_jax.segment.report import choice_lines, choice_report, environment, write_report
    from universeg_jax.segment.volume import fit_volumes
    from universeg_jax.segment.volume_folder import support_examples
    from universeg_jax.util.outputs import check_apart, check_outputs, complete_or_nothing

    support = open_volume_folder(arguments.support, channel=arguments.channel)
    targets, out = find_targets(arguments.images), arguments.out
    files = [*(f"masks/{target.name}.png" for target in targets), "overview.png", "report.json"]
    check_apart(out, [arguments.support, arguments.images], files)
    check_outputs(out, files, overwrite=arguments.overwrite)
    segmenter = load()
    task = fit_volumes(segmenter, support, axis=arguments.axis, choice=choice, threshold=arguments.threshold)
    classes = {int(value): support.class_names.get(int(value), str(value)) for value in task.values[1:]}
    with complete_or_nothing(out, new=() if arguments.overwrite else files) as folder:
        (folder / "masks").mkdir()
        results, shown = [], set(evenly(len(targets), 24))
        for i, target in enumerate(targets):
            image = read_image(target.image)
            mask = task.picture(image, target.name)
            write_mask(folder / "masks" / f"{target.name}.png", mask, GreyCoding(wide=mask.max() > 255))
            results += [Result(target.name, image, mask)] if i in shown else []
        note = f"{len(support)} labelled volumes, above; {len(targets)} pictures segmented, below"
        by = weights if task.choice is None else task.choice.name
        title = f"{Path(*arguments.support.resolve().parts[-2:])}, segmented by {by}"
        examples = support_examples(support, task.pools[0].axis)
        write_overview(folder / "overview.png", [Section(title, note, classes, examples, results)])
        report = {"command": arguments.command_line, **environment(), "weights": weights, "warnings": warned}
        report |= choice_report(task.choice, [])
        write_report(folder / "report.json", {**report, "images": [str(target.image) for target in targets]})
    if not arguments.quiet:
        for line in choice_lines([], task.choice):
            print(line)
        print(f"{len(targets)} masks in {out / 'masks'}, overview in {out / 'overview.png'}")
