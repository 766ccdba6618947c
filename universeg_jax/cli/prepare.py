"""`universeg-jax prepare`: make a corpus to learn from."""

import argparse
import os
import sys
from pathlib import Path

from universeg_jax.cli.shared import add_command, add_out, add_quiet, resumable

DESCRIPTION = """\
Add datasets to a corpus: labelled images and volumes become tasks to train on and evaluate with.

  images    SOURCE/images/*  SOURCE/masks/*  of the same names; SOURCE/classes.json {"1": "nucleus"} optional;
            also imagesTr/ and labelsTr/ of nnU-Net, and pairs in one folder: a.png and a_mask.png
  nifti     SOURCE/imagesTr/*.nii.gz  SOURCE/labelsTr/*.nii.gz  (or images/, masks/); dataset.json optional;
            also the Medical Segmentation Decathlon, one task or a folder of them
  dicom     SOURCE/images/NAME/*  SOURCE/masks/NAME.nii.gz, NAME.dcm (a SEG object), or NAME/* (DICOM or PNG slices)
  totalsegmentator    SOURCE/s0001/ct.nii.gz  SOURCE/s0001/segmentations/liver.nii.gz ...
  medsegbench    NAME.npz of MedSegBench, with its own splits
  npz       NAME.npz or a folder of them: images (N,H,W), labels (N,H,W), ids (N,); NAME.json optional
  acdc bbbc038 hc18 wbc    these datasets, as they are unpacked

Mask value 0 is background, every other value a class (--one-class joins them). From a volume, two kinds of slices are
taken along each axis: the middle one, and for each class the one where it is largest. Images are padded to squares and
stored at 64, 128 and 256 pixels. Subjects are split 60/20/20 into train, validation and test, unless the dataset has
its own splits. The command writes

  CORPUS/NAME/sheet.png       a sheet to look at
  CORPUS/NAME/dataset.json    origin, licence, classes, splits, counts, skipped files with the reason
  CORPUS/NAME/64 128 256/     the images

Nothing is overwritten. The same command resumes an interrupted run.
"""


def add_parser(subparsers) -> None:
    parser = add_command(
        subparsers, "prepare", help="make a corpus from labelled images and volumes", description=DESCRIPTION
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a folder, or an npz file")
    add_out(parser, help="corpus to add to", metavar="CORPUS")
    about = parser.add_argument_group("about the dataset")
    about.add_argument("--kind", help="layout, one of those above (default: recognised from the files)")
    about.add_argument("--name", help="name of the dataset (default: name of the folder or file)")
    about.add_argument("--modality", help="modality: CT means Hounsfield units")
    about.add_argument(
        "--one-class",
        metavar="NAME",
        help="join all classes into one of this name, if they are kinds of one structure, such as diagnoses",
    )
    about.add_argument(
        "--subject-pattern",
        metavar="REGEX",
        help="pattern that finds the subject in file names; a subject is never split",
    )
    about.add_argument("--licence", help="licence, recorded with the dataset")
    about.add_argument("--source-url", metavar="URL", help="origin, recorded with the dataset")
    about.add_argument("--source-version", metavar="TEXT", help="version or commit, recorded with the dataset")
    how = parser.add_argument_group("how to work")
    how.add_argument(
        "--on-error", choices=("skip", "stop"), default="skip", help="skip broken files, or stop (default: %(default)s)"
    )
    how.add_argument(
        "--workers", type=int, default=os.cpu_count(), metavar="N", help="number of processes (default: %(default)s)"
    )
    how.add_argument(
        "--memory",
        type=float,
        metavar="GB",
        help="memory of all processes together; fewer work at once if their scans are large (default: the free memory)",
    )
    how.add_argument("--runner", metavar="NAME", help="an Apache Beam runner, such as DirectRunner or FlinkRunner")
    how.add_argument(
        "--runner-options", default="", metavar="OPTIONS", help="options for Beam, such as '--parallelism=64'"
    )
    add_quiet(parser)
    parser.set_defaults(run=run, extra="data")


def run(arguments: argparse.Namespace) -> None:
    """Run `prepare`.

    Raises:
        InputError: unusable source; complete datasets stay.
    """
    # Imported here so that --help need not wait for them.
    import shlex

    from universeg_jax.data.corpus.prepare import prepare
    from universeg_jax.data.corpus.workers import Beam, Processes
    from universeg_jax.segment.report import warnings_on_stderr

    with warnings_on_stderr():
        sources = _sources(arguments)
        workers: Processes | Beam
        if arguments.runner:
            workers = Beam(arguments.runner, tuple(shlex.split(arguments.runner_options)))
        else:
            workers = Processes(_processes(arguments, sources))
        with resumable("finished scans are kept"), workers:
            for source in sources:
                prepared = prepare(
                    source,
                    arguments.out,
                    workers=workers,
                    stop=arguments.on_error == "stop",
                    quiet=arguments.quiet,
                )
                _report(prepared, quiet=arguments.quiet)
    if not arguments.quiet and len(sources) > 1:
        print(f"{len(sources)} datasets in {arguments.out}")


def _processes(arguments: argparse.Namespace, sources: list) -> int:
    """Choose the number of processes from the decoded sizes of the scans.

    Raises:
        InputError: a scan needs more than --memory.
    """
    from universeg_jax.data.corpus.workers import BASE, available_memory, memory_to_prepare, processes_that_fit
    from universeg_jax.errors import InputError
    from universeg_jax.util.checks import check_number

    check_number("--workers", arguments.workers, least=1, whole=True)
    if arguments.memory is not None:
        check_number("--memory", arguments.memory, above=0)
    memory = available_memory() if arguments.memory is None else int(arguments.memory * 1e9)
    needs = {files: sum(map(memory_to_prepare, files)) for files in {i.files for s in sources for i in s.items}}
    largest = max(needs, key=needs.__getitem__)
    need = needs[largest]
    if BASE + need > memory:
        problem = f"{largest[0] if largest else arguments.source}: needs about {(BASE + need) / 1e9:.1f} GB of memory"
        if arguments.memory is not None:
            raise InputError(f"{problem}, more than --memory {arguments.memory:g}: pass more, or remove the file")
        print(f"warning: {problem}, and {memory / 1e9:.1f} GB are free", file=sys.stderr)
    wanted = min(arguments.workers, max(len(source.items) for source in sources))
    found = processes_that_fit(wanted, need, memory)
    if found < wanted and not arguments.quiet:
        print(f"{found} of {wanted} processes work at once: the scans are large for the memory", file=sys.stderr)
    return found


def _sources(arguments: argparse.Namespace) -> list:
    from dataclasses import replace

    from universeg_jax.data.readers.detect import find_sources
    from universeg_jax.errors import InputError

    sources = find_sources(
        arguments.source,
        kind=arguments.kind,
        modality=arguments.modality,
        subject_pattern=arguments.subject_pattern,
        name=arguments.name,
    )
    if arguments.name and len(sources) > 1:
        raise InputError(f"--name {arguments.name}: {arguments.source} holds {len(sources)} datasets; give one of them")
    given = {
        "one_class": arguments.one_class,
        "licence": arguments.licence,
        "origin": arguments.source_url,
        "version": arguments.source_version,
    }
    return [replace(source, **{key: value for key, value in given.items() if value}) for source in sources]


def _report(prepared, *, quiet: bool) -> None:
    about = prepared.about
    for name, problem in about["left_out"].items():
        print(f"warning: skipped {name}: {problem}", file=sys.stderr)
    if quiet:
        return
    split, scans = about["split"], about["scans"]
    earlier = f" ({prepared.reused} of them by an earlier run)" if prepared.reused else ""
    images = " + ".join(f"{number} {name}" for name, number in split["images"].items())
    tasks = "1 task" if len(about["tasks"]) == 1 else f"{len(about['tasks'])} tasks"
    print(
        f"{about['name']}: {scans['used']} of {scans['found']} scans used{earlier}, "
        f"{sum(split['images'].values())} images = {images}, {tasks}"
    )
    for warning in about["warnings"]:
        print(f"  note: {warning}")
    print(f"  look at {prepared.folder / 'sheet.png'}")
