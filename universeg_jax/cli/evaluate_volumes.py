"""`universeg-jax evaluate --protocol volumes`: measure weights on whole volumes, from draws of labelled volumes."""

import argparse
import warnings
from pathlib import Path

from universeg_jax.cli.shared import resumable

VOLUMES = {"slices": None, "channel": None}
"""Options of this protocol with their defaults."""

OTHERS = {
    "tasks": None,
    "minimum_area": 0.001,
    "one_class": None,
    "ensemble": None,
    "pool": None,
}
"""Options of the protocol for images with their defaults."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the protocol for volumes."""
    group = parser.add_argument_group("protocol for volumes; --support N shows N labelled volumes (default: 3)")
    group.add_argument("--slices", type=int, metavar="N", help="labelled slices shown for a slice (default: 32)")
    group.add_argument("--channel", type=int, metavar="N", help="channel to read of volumes with several, from 0")


def refuse_options(arguments: argparse.Namespace) -> None:
    """Refuse options of this protocol without --protocol volumes.

    Raises:
        InputError: one of them was given.
    """
    from universeg_jax.cli.few_shot import refuse

    refuse(arguments, VOLUMES, "needs --protocol volumes; add that, or leave the option out")


def run(arguments: argparse.Namespace) -> None:
    """Run the protocol for volumes.

    Raises:
        InputError: an option or a file is unusable. Measurements stay.
    """
    from universeg_jax.cli.few_shot import refuse
    from universeg_jax.data.readers.detect import find_subjects
    from universeg_jax.errors import InputError, SegmentationWarning
    from universeg_jax.evaluate.methods import digest
    from universeg_jax.evaluate.volume_report import OUTPUTS, write_volume_report
    from universeg_jax.evaluate.volumes import MEASUREMENTS, VolumeProtocol, evaluate_volumes
    from universeg_jax.io.task_folder import LABELLING
    from universeg_jax.io.volume_folder import open_volume_folder
    from universeg_jax.segment.report import environment, warnings_on_stderr
    from universeg_jax.segment.segmenter import Segmenter, load_in_context
    from universeg_jax.segment.slice_choice import SliceChoice
    from universeg_jax.util.outputs import check_apart, check_outputs, complete_or_nothing, own_output

    refuse(arguments, OTHERS, "is no option of --protocol volumes; leave it out")
    support = arguments.support or [3]
    if len(support) > 1:
        raise InputError(f"--support {' '.join(map(str, support))}: pass one number of labelled volumes")
    size = {} if arguments.slices is None else {"size": arguments.slices}
    protocol = VolumeProtocol(
        support=support[0],
        draws=arguments.draws,
        folds=5 if arguments.folds is None else arguments.folds,
        targets=arguments.targets,
        threshold=arguments.threshold,
        tolerance=arguments.tolerance,
        axis=arguments.axis,
        modality=arguments.modality or "",
        seed=arguments.seed,
        choice=SliceChoice(seed=arguments.seed, **size),
    )
    out = arguments.out
    with warnings_on_stderr() as warned:
        check_apart(out, [arguments.source], OUTPUTS)
        check_outputs(out, OUTPUTS, overwrite=arguments.overwrite or (out / MEASUREMENTS).is_file())
        folder = open_volume_folder(arguments.source, channel=arguments.channel)
        if (arguments.source / LABELLING).is_dir():
            message = f"{arguments.source}: labelled by the page; slices without a label count as background in scores"
            warnings.warn(message, SegmentationWarning, stacklevel=2)
        names = [file.name for file in folder.files]
        pattern = arguments.subject_pattern
        subjects = find_subjects(names, pattern, source=str(arguments.source)) if pattern else names
        segmenter = Segmenter(load_in_context(arguments.weights))
        digests = ", ".join(digest(model) for model in segmenter.blend.models)
        identity = f"{Path(arguments.weights).name}, model {digests}"
        with resumable("measurements are kept"), own_output(out):
            scores = evaluate_volumes(
                folder,
                segmenter,
                protocol,
                out,
                identity=identity,
                subjects=subjects,
                overwrite=arguments.overwrite,
                progress=not arguments.quiet,
            )
        about = {"command": arguments.command_line, **environment(), "weights": arguments.weights, "warnings": warned}
        with complete_or_nothing(out, outputs=OUTPUTS) as target:
            tables = write_volume_report(target, scores, protocol, about=about)
    if not arguments.quiet:
        print(*(f"{table.text()}\n" for table in tables), sep="\n")
        print(f"Tables are in {out}.")
