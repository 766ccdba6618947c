"""`python -m convert universeg`: weights of the official UniverSeg code, of any configuration."""

import argparse
from functools import partial

import jax
import numpy as np

from convert.conversion import add_arguments, convert
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.weights.architectures import ACTIVATIONS
from universeg_jax.weights.universeg import universeg_from


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "universeg",
        help="a .pt file of the official UniverSeg code",
        description="Convert a .pt file of the official UniverSeg code, whatever the features of its stages; read the "
        "result again, and compare the outputs of both on a fixed input.",
    )
    add_arguments(parser)
    parser.add_argument(
        "--cross-activation",
        choices=sorted(ACTIVATIONS),
        metavar="NAME",
        help="the activation after the cross-convolution, which a file does not show: none in the released network, "
        f"or {', '.join(sorted(ACTIVATIONS))}",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Convert, and say what was done.

    Raises:
        WeightsError: for an unusable file or folder; nothing is written then.
    """
    make = partial(universeg_from, cross_activation=ACTIVATIONS.get(arguments.cross_activation))

    def describe(model: UniverSeg) -> list[str]:
        return [
            f"encoder {model.config.encoder_features}, decoder {model.config.decoder}",
            f"cross activation {arguments.cross_activation or 'none'}",
        ]

    convert(arguments, "universeg", make, describe=describe, compare=output_difference)


def output_difference(model: UniverSeg, again: UniverSeg) -> tuple[str, float]:
    """The largest difference between the logits of two models; NaN in both is none."""
    outputs, others = example_outputs(model), example_outputs(again)
    equal = np.array_equal(outputs, others, equal_nan=True)
    return f"{outputs.size} logits on a fixed input", 0.0 if equal else float(np.abs(outputs - others).max())


def example_outputs(model: UniverSeg) -> np.ndarray:
    """Logits on a fixed input: one random target and three support entries, of 4x4 pixels in the deepest stage."""
    side = 4 * 2 ** (len(model.config.encoder_features) - 1)
    target, images, labels = np.split(np.random.default_rng(0).random((7, side, side, 1), np.float32), [1, 4])
    return np.asarray(jax.jit(lambda model, *inputs: model(*inputs))(model, target, images[None], labels[None] > 0.5))
