"""Make initial weights for a deeper network: add stages at the bottom of the U-Net and keep the others.

    python -m experiments.deepen open-v1 --stages 6 --out DIR

Stages of both networks keep their parameters; new stages are random. The first old block of the decoder now reads
random features instead of the deepest stage's, so the new network must be trained before use.
"""

import argparse
import dataclasses
from pathlib import Path

from flax import nnx

from experiments.command import run
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.weights.loading import load
from universeg_jax.weights.mapping import get_parameters, set_parameters
from universeg_jax.weights.store import save


def deepen(model: UniverSeg, stages: int, *, seed: int = 0) -> UniverSeg:
    """Make a network with more stages; the new ones have as many features as the deepest of `model`.

    Args:
        stages: stages of the encoder; image sides must then be multiples of 2 ** (stages - 1).
        seed: seed of the new stages' parameters.

    Raises:
        InputError: `model` has more stages.
    """
    config = model.config
    more = stages - len(config.encoder_features)
    if more < 0:
        raise InputError(f"stages={stages}: the network has {len(config.encoder_features)} already")
    bottom = (config.encoder_features[-1],) * more
    decoder = None if config.decoder_features is None else bottom + config.decoder_features
    deeper = dataclasses.replace(config, encoder_features=config.encoder_features + bottom, decoder_features=decoder)
    grown = UniverSeg(deeper, rngs=nnx.Rngs(seed))
    kept = {_moved(name, more): value for name, value in get_parameters(model).items()}
    set_parameters(grown, get_parameters(grown) | kept)
    return grown


def _moved(name: str, more: int) -> str:
    """Name a parameter in the deeper network, where decoder blocks are counted from the bottom."""
    part, *rest = name.split(".")
    return ".".join([part, str(int(rest[0]) + more), *rest[1:]]) if part == "decoder" else name


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="a name or a folder")
    parser.add_argument("--stages", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    source = f"{options.weights} with {options.stages} stages, the new ones random"
    save(deepen(load(options.weights), options.stages), options.out, provenance={"source": source})


if __name__ == "__main__":
    run(main)
