"""Average several weights of one network, for example the ends of runs that continue each other.

    python -m experiments.average WEIGHTS WEIGHTS ... --out DIR

The mean of weights near each other is often better than each of them (Wortsman et al., "Model soups", ICML 2022).
The mean of networks trained from different random weights is useless.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.command import run
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.weights.loading import load
from universeg_jax.weights.mapping import get_parameters, set_parameters
from universeg_jax.weights.store import save


def average(models: Sequence[UniverSeg], names: Sequence[str]) -> UniverSeg:
    """Give the first model the mean of all parameters, and return it.

    Args:
        models: networks of one configuration; the image sizes of their training may differ.
        names: names of the models, for messages.

    Raises:
        InputError: two configurations differ; the message names both.
    """
    first, *others = models
    for model, name in zip(others, names[1:], strict=True):
        if replace(model.config, input_size=first.config.input_size) != first.config:
            raise InputError(f"{name} is of {model.config}, {names[0]} of {first.config}: only like networks average")
    parameters = [get_parameters(model) for model in models]
    set_parameters(first, {name: sum(each[name] for each in parameters) / len(models) for name in parameters[0]})
    return first


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="+", help="names or folders; one given twice has twice the weight")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    model = average([load(name) for name in options.weights], options.weights)
    save(model, options.out, provenance={"source": f"the mean of {', '.join(options.weights)}"})


if __name__ == "__main__":
    run(main)
