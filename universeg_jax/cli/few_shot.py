"""`universeg-jax evaluate --protocol few-shot`: measure weights with one labelled scan."""

import argparse
from pathlib import Path

from universeg_jax.cli.shared import resumable

CACHE = 2**31
"""Largest number of bytes of encoded slices in memory: about the support scan and one query scan."""

FEW_SHOT = {
    "organs": None,
    "window": None,
    "crop": 0,
    "only_folds": None,
    "seeds": 1,
    "support_slices": "thirds",
    "blend": None,
    "blend_slices": "thirds",
    "blend_weight": 1.0,
    "whole_volume": False,
    "encodings": None,
    "features": None,
    "adapt": None,
    "match_brightness": False,
}
"""Options of this protocol with their defaults."""

IN_CONTEXT = {
    "tasks": None,
    "targets": None,
    "minimum_area": 0.001,
    "subject_pattern": None,
    "support": None,
    "draws": 3,
    "ensemble": None,
    "pool": None,
    "tolerance": 1.0,
    "seed": 0,
}
"""Options of the other protocol with their defaults."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the few-shot protocol."""
    group = parser.add_argument_group("few-shot protocol")
    group.add_argument("--organs", nargs="+", metavar="NAME", help="organs to measure, as a label set (default: all)")
    group.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="intensities that become 0 and 1, such as -125 275 for abdominal CT (default: as in a corpus)",
    )
    group.add_argument(
        "--crop", type=int, default=0, metavar="N", help="cut off N pixels at each border of a slice (default: 0)"
    )
    group.add_argument(
        "--only-folds",
        type=int,
        nargs="+",
        metavar="N",
        help="measure these folds only, numbered from 0, such as the fold that training left out (default: all)",
    )
    group.add_argument("--seeds", type=int, default=1, metavar="N", help="support choices to average (default: 1)")
    group.add_argument(
        "--support-slices",
        default="thirds",
        metavar="CHOICE",
        help="thirds: one support slice for each third of the organ; N: the N nearest in height; all: every slice, "
        "nearer ones with larger weights (default: %(default)s)",
    )
    group.add_argument("--blend", metavar="WEIGHTS", help="also average the probabilities with these weights")
    group.add_argument(
        "--blend-slices", default="thirds", metavar="CHOICE", help="as --support-slices, for the weights of --blend"
    )
    group.add_argument(
        "--blend-weight", type=float, default=1.0, metavar="W", help="weight of --blend in the mean (default: 1)"
    )
    group.add_argument(
        "--features", metavar="WEIGHTS", help="encoder of the features of ProtoSAM (default: the encoder of --weights)"
    )
    group.add_argument(
        "--adapt",
        type=int,
        metavar="N",
        help="train LoRA adapters of the encoder N steps on each query scan first, without labels",
    )
    group.add_argument(
        "--encodings", type=Path, metavar="FOLDER", help="keep encoded slices there, 14 MB each, for further runs"
    )
    group.add_argument(
        "--match-brightness",
        action="store_true",
        help="halve or double the brightness of the labelled slices if the query scan then has more similar features",
    )
    group.add_argument(
        "--whole-volume",
        action="store_true",
        help="also smooth across slices, keep the largest body in 3-D, and continue it into slices without a mask",
    )


def refuse_options(arguments: argparse.Namespace) -> None:
    """Refuse options of the few-shot protocol without --protocol few-shot.

    Raises:
        InputError: one of them was given.
    """
    refuse(arguments, FEW_SHOT, "needs --protocol few-shot; add that, or leave the option out")


def refuse(arguments: argparse.Namespace, options: dict, reason: str) -> None:
    """Refuse options that differ from their defaults.

    Raises:
        InputError: one of them was given.
    """
    from universeg_jax.errors import InputError

    for name, default in options.items():
        if getattr(arguments, name) != default:
            raise InputError(f"--{name.replace('_', '-')}: {reason}")


def run(arguments: argparse.Namespace) -> None:
    """Run the few-shot protocol.

    Raises:
        InputError: an option or a file is unusable. Measurements stay.
    """
    from universeg_jax.data.stacks import read_stacks
    from universeg_jax.errors import InputError
    from universeg_jax.evaluate.few_shot.report import OUTPUTS, write_report
    from universeg_jax.evaluate.few_shot.runner import MEASUREMENTS, FewShotProtocol, run_few_shot
    from universeg_jax.segment.report import environment, warnings_on_stderr
    from universeg_jax.util.outputs import check_apart, check_outputs, complete_or_nothing, own_output

    refuse(arguments, IN_CONTEXT, "is no option of --protocol few-shot; leave it out")
    if arguments.blend is None and (arguments.blend_slices != "thirds" or arguments.blend_weight != 1.0):
        raise InputError("--blend-slices, --blend-weight: need --blend WEIGHTS; add that, or leave them out")
    protocol = FewShotProtocol(
        folds=5 if arguments.folds is None else arguments.folds,
        only=None if arguments.only_folds is None else tuple(arguments.only_folds),
        seeds=arguments.seeds,
        organs=None if arguments.organs is None else tuple(arguments.organs),
        threshold=arguments.threshold,
    )
    out, progress = arguments.out, not arguments.quiet
    with warnings_on_stderr() as warned:
        check_apart(out, [arguments.source], OUTPUTS)
        check_outputs(out, OUTPUTS, overwrite=arguments.overwrite or (out / MEASUREMENTS).is_file())
        methods = _methods(arguments)
        stacks = read_stacks(
            arguments.source,
            axis=arguments.axis or "axial",
            modality=arguments.modality,
            window=None if arguments.window is None else tuple(arguments.window),
            crop=arguments.crop,
            progress=progress,
        )
        with resumable("measurements are kept"), own_output(out):
            scores, skipped = run_few_shot(
                stacks, methods, protocol, out, overwrite=arguments.overwrite, progress=progress
            )
        about = {"command": arguments.command_line, **environment(), "weights": arguments.weights, "warnings": warned}
        with complete_or_nothing(out, outputs=OUTPUTS) as folder:
            tables = write_report(folder, scores, skipped, protocol, about=about)
    if not arguments.quiet:
        print(*(f"{table.text()}\n" for table in tables), sep="\n")
        print(f"Tables are in {out}.")


def _methods(arguments: argparse.Namespace) -> list:
    """Return the methods to measure: the weights, the weights of --blend, their mean, and each with --whole-volume."""
    from universeg_jax.evaluate.few_shot.methods import MeanOfMethods, Propagation, WholeVolume

    methods = [_first_method(arguments)]
    if arguments.blend is not None:
        blend = _model(arguments.blend)
        methods.append(_method(arguments, blend, arguments.blend, arguments.blend_slices, arguments.encodings))
        methods.append(MeanOfMethods(tuple(methods), (1.0, arguments.blend_weight)))
    if not arguments.whole_volume:
        return methods
    volumes = [WholeVolume(method) for method in methods]
    return [*methods, *volumes, *map(Propagation, volumes, methods)]


def _first_method(arguments: argparse.Namespace):
    """Return the method of --weights, with --features and --adapt."""
    from functools import partial

    from universeg_jax.errors import InputError

    if arguments.adapt is None:
        model = _model(arguments.weights, arguments.features)
        return _method(arguments, model, arguments.weights, arguments.support_slices, arguments.encodings)
    arguments.extra = "train"  # the extra that an error names
    from universeg_jax.models.dinov2 import DINOv2
    from universeg_jax.models.sam.model import SAM
    from universeg_jax.train.config import Stage
    from universeg_jax.train.encoder.config import AdamWConfig, EncoderTrainConfig
    from universeg_jax.train.encoder.test_time import TestTimeTraining
    from universeg_jax.weights import load

    weights = arguments.features or arguments.weights
    network = load(weights)
    if not isinstance(network, SAM | DINOv2):
        raise InputError(f"weights {weights}: belong to a {type(network).__name__}; pass a SAM or a DINOv2")
    size = network.config.input_size if isinstance(network, SAM) else 252
    if arguments.adapt < 1:
        raise InputError(f"--adapt {arguments.adapt}: pass 1 or more")
    # Adapters: a few steps of plain gradient descent on all parameters do harm (experiments/results/few_shot).
    steps = max(arguments.adapt, 30)
    stage = Stage(size=size, steps=steps, batch_size=1, support_size=1, learning_rate=5e-4, warmup_steps=5)
    config = EncoderTrainConfig(stages=(stage,), weights=weights, optimizer=AdamWConfig(), lora_rank=4)
    make = partial(_adapted_method, arguments)
    return TestTimeTraining(
        config, steps=arguments.adapt, make_method=make, name=Path(arguments.weights).name, network=network
    )


def _adapted_method(arguments: argparse.Namespace, network):
    """Return the method of --weights with a trained network for the features."""
    from universeg_jax.errors import InputError
    from universeg_jax.models.protosam.encoder import extractor_of
    from universeg_jax.models.protosam.pipeline import ProtoSAM
    from universeg_jax.models.sam.model import SAM
    from universeg_jax.weights import load

    sam = load(arguments.weights)
    if not isinstance(sam, SAM):
        raise InputError(f"--weights {arguments.weights}: belong to a {type(sam).__name__}; pass a SAM")
    model = ProtoSAM(sam, features=extractor_of(network))
    return _method(arguments, model, arguments.weights, arguments.support_slices, None)


def _model(weights: str, features: str | None = None):
    """Load an in-context model, or a ProtoSAM with the features of another network."""
    from universeg_jax.errors import InputError
    from universeg_jax.models.dinov2 import DINOv2
    from universeg_jax.models.protosam.encoder import extractor_of
    from universeg_jax.models.protosam.pipeline import ProtoSAM
    from universeg_jax.models.sam.model import SAM
    from universeg_jax.segment.segmenter import load_in_context
    from universeg_jax.weights import load

    if features is None:
        return load_in_context(weights)
    sam, network = load(weights), load(features)
    if not isinstance(sam, SAM) or not isinstance(network, SAM | DINOv2):
        raise InputError(f"--features {features}: pass a SAM or a DINOv2, and a SAM as --weights")
    return ProtoSAM(sam, features=extractor_of(network))


def _method(arguments: argparse.Namespace, model, weights: str, slices: str, encodings: Path | None):
    """Return a method that shows a model the support slices, in their brightness or a matched one.

    Raises:
        InputError: --match-brightness was given, and the model is no ProtoSAM.
    """
    from universeg_jax.errors import InputError
    from universeg_jax.evaluate.few_shot.brightness import MatchedBrightness
    from universeg_jax.evaluate.few_shot.methods import InContextSlices
    from universeg_jax.evaluate.few_shot.store import store_encodings
    from universeg_jax.evaluate.few_shot.support import support_choice
    from universeg_jax.evaluate.methods import digest
    from universeg_jax.models.protosam.pipeline import ProtoSAM

    choice = support_choice(slices)
    model_digest = digest(model)
    if isinstance(model, ProtoSAM):
        store_encodings(model, encodings, capacity=CACHE)
    method = InContextSlices(model, Path(weights).name, choice, model_digest)
    if not arguments.match_brightness:
        return method
    if not isinstance(model, ProtoSAM):
        raise InputError(f"--match-brightness: needs a SAM, but {weights} is a {type(model).__name__}; leave it out")
    return MatchedBrightness(method, model)
