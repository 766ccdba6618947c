"""Weights for a deeper network to start from: more stages at the bottom of the U-Net, the others as they were.

    python -m experiments.deepen open-v1 --stages 6 --out DIR

The stages that both networks have keep their parameters, and the new ones are random. So the first of the decoder's old
blocks is given random features where it had those of the deepest stage: the new network has to learn on before use.
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
    """A network with this many stages, the new ones with as many features as the deepest of `model`.

    Args:
        stages: of the encoder; images must then be divisible by 2 ** (stages - 1).
        seed: of the new stages.

    Raises:
        InputError: fewer stages than `model` has.
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
    """The name of a parameter in the deeper network: decoder blocks are counted from the bottom."""
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
