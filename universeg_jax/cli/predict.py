"""`universeg-jax predict`: segment a folder of images from labelled examples."""

import argparse
from pathlib import Path

from universeg_jax.cli.predict_volumes import add_options, refuse_options_of_volumes, run_volumes, takes_volumes
from universeg_jax.cli.shared import add_command, add_out, add_overwrite, add_quiet, add_weights
from universeg_jax.weights import shipped

DESCRIPTION = """\
Segment images of a new task from labelled examples; nothing is trained.

  SUPPORT/images/*  SUPPORT/masks/*   labelled examples, matched by name without extension
  SUPPORT/classes.json                optional names of classes, {"1": "nucleus"} or {"#ff0000": "nucleus"}

Images and masks are PNG, JPEG, BMP or TIFF; images grey or colour, masks grey, palette or colour, every value
a class, the smallest one the background. Both may be volumes: NIfTI, NRRD, MetaImage, DICOM series, TIFF stacks; their
masks are written with the shape and place of each scan, in its format (DICOM: .nii.gz). When all is complete, the
command writes

  OUT/masks/NAME.png    masks with the class values, palette or colours of the support's masks
  OUT/overview.png      a sheet to look at
  OUT/report.json       settings, versions, and areas, probabilities and Dice of every image
  OUT/spread/           with --ensemble: standard deviation of the probabilities, 65535 is 1
  OUT/probabilities/    with --probabilities: 16-bit, 65535 is 1
"""


DEFAULT_WEIGHTS = {"universeg": shipped.DEFAULT, "protosam": "lite-medsam"}
MODELS = ("auto", "universeg", "protosam", "universeg+protosam")


def add_parser(subparsers) -> None:
    parser = add_command(subparsers, "predict", help="segment images from labelled examples", description=DESCRIPTION)
    folders = parser.add_argument_group("folders")
    folders.add_argument("-s", "--support", type=Path, required=True, metavar="DIR", help="labelled examples")
    folders.add_argument(
        "-i", "--images", type=Path, required=True, metavar="DIR", help="images to segment, or one file"
    )
    add_out(folders)
    folders.add_argument("--labels", type=Path, metavar="DIR", help="true masks of the images, to measure Dice")
    add_overwrite(folders)
    how = parser.add_argument_group("how to segment")
    how.add_argument(
        "-m",
        "--model",
        choices=MODELS,
        help="auto compares both and their mean (default: auto; universeg with --weights)",
    )
    defaults = ", ".join(f"{weights} for {model}" for model, weights in DEFAULT_WEIGHTS.items())
    add_weights(how, help=f"name or path of weights (default: {defaults})", default=None)
    how.add_argument(
        "--features",
        metavar="WEIGHTS",
        help="for protosam: weights of the DINOv2 that computes features (default: the SAM itself)",
    )
    how.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        help="threshold of the probability, for two classes (default: %(default)s)",
    )
    how.add_argument("--ensemble", type=int, default=1, metavar="K", help="average over K random draws of the examples")
    how.add_argument(
        "--support-size", type=int, metavar="N", help="examples in a draw (default: all; half with --ensemble)"
    )
    how.add_argument(
        "--similar",
        type=int,
        nargs="?",
        const=16,
        metavar="N",
        help="use only the N examples most similar to each image (without N: %(const)s)",
    )
    how.add_argument("--seed", type=int, default=0, help="seed of the draws (default: %(default)s)")
    how.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="intensities that become black and white (default: each image's own minimum and maximum)",
    )
    how.add_argument("--bfloat16", action="store_true", help="compute in bfloat16, which is faster on accelerators")
    how.add_argument("--probabilities", action="store_true", help="write probabilities too")
    add_options(parser)
    add_quiet(parser)
    parser.set_defaults(run=run, extra="volumes")


def run(arguments: argparse.Namespace) -> None:
    """Run `predict`.

    Raises:
        InputError: unusable arguments; nothing is written then.
    """
    # Imported here so that --help need not wait for JAX.
    from universeg_jax.io.task_folder import find_targets, read_support
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
    from universeg_jax.util.imports import import_meanwhile
    from universeg_jax.util.outputs import check_apart, check_outputs, complete_or_nothing

    dtype = "bfloat16" if arguments.bfloat16 else "float32"
    volumes = takes_volumes(arguments)
    one_network = arguments.weights is not None or arguments.features is not None
    name = arguments.model or ("universeg" if one_network else "auto")
    weights = arguments.weights or DEFAULT_WEIGHTS.get(name, name)

    def load() -> Segmenter:
        model = _load(name, weights, arguments.features)
        return Segmenter(model, window=arguments.window, dtype=dtype)

    if volumes:
        return run_volumes(arguments, load, name, weights)
    refuse_options_of_volumes(arguments)
    options = Options(
        threshold=arguments.threshold,
        ensemble=arguments.ensemble,
        support_size=arguments.support_size,
        similar=arguments.similar,
        seed=arguments.seed,
        probabilities=arguments.probabilities,
    )
    with warnings_on_stderr() as warned:
        support = read_support(arguments.support)
        targets = find_targets(arguments.images, arguments.labels)
        files = [*output_files(support, targets, options), "overview.png", "report.json"]
        inputs = [given for given in (arguments.support, arguments.images, arguments.labels) if given]
        check_apart(arguments.out, inputs, files)
        check_outputs(arguments.out, files, overwrite=arguments.overwrite)
        segmenter = load()
        import_meanwhile("universeg_jax.io.overview", "matplotlib.backends.backend_agg", "scipy.ndimage")
        with complete_or_nothing(arguments.out, new=() if arguments.overwrite else files) as folder:
            records, task = predict_targets(segmenter, support, targets, folder, options, progress=not arguments.quiet)
            by = weights if task.choice is None else task.choice.name
            title = f"{Path(*arguments.support.resolve().parts[-2:])}, segmented by {by}"
            section = make_section(title, support, targets, records, folder, forecast_of(records, task.choice))
            from universeg_jax.io.overview import write_overview  # by now imported in the background

            write_overview(folder / "overview.png", [section])
            chosen = {"model": name, "weights": weights, "features": arguments.features}
            settings = {**chosen, "window": arguments.window, "dtype": dtype, **vars(options)}
            report = {"command": arguments.command_line, **environment(), "settings": settings, "warnings": warned}
            write_report(folder / "report.json", {**report, **task_report(support, records, task)})
    if not arguments.quiet:
        if arguments.labels:
            print(dice_table(support, records), end="\n\n")
        for line in choice_lines(records, task.choice):
            print(line)
        print(f"{len(records)} masks are in {arguments.out / 'masks'}; look at {arguments.out / 'overview.png'}")


def _load(model: str, weights: str, features: str | None):
    """Load the model of these weights.

    Raises:
        InputError: weights of another model, or features for a model that takes none.
    """
    from universeg_jax.errors import InputError
    from universeg_jax.segment.segmenter import load_in_context
    from universeg_jax.weights.loading import protosam

    if model in ("auto", "universeg+protosam"):
        for option, given in (("--weights", weights if weights != model else None), ("--features", features)):
            if given is not None:
                raise InputError(f"{option} {given} is for one model: pass --model universeg or --model protosam")
        return model
    if model == "protosam":
        return protosam(weights, features=features)
    if features is not None:
        raise InputError(f"--features {features} is for --model protosam; the model is {model}")
    loaded = load_in_context(weights)
    if type(loaded).__name__ == "ProtoSAM":  # by name: a UniverSeg does not wait for ProtoSAM's imports
        raise InputError(f"--weights {weights} are weights of a SAM: pass --model protosam")
    return loaded
