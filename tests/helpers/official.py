"""Random state dicts of the official code for any configuration, written from its shapes, not from our table."""

import numpy as np


def official_shapes(encoder, decoder=None):
    """Map names to shapes in the order of the official code; weights are (out,in,kh,kw)."""
    decoder = encoder[-2::-1] if decoder is None else decoder
    skips = [features for _, features in encoder[-2::-1]]
    inputs = [3, *(2 * features for _, features in encoder[:-1])]
    below = [encoder[-1][1], *(features for _, features in decoder[:-1])]
    inputs += [2 * (low + skip) for low, skip in zip(below, skips, strict=True)]
    names = [f"enc_blocks.{i}" for i in range(len(encoder))] + [f"dec_blocks.{i}" for i in range(len(decoder))]
    shapes = {}
    for name, channels, (cross, features) in zip(names, inputs, [*encoder, *decoder], strict=True):
        shapes[f"{name}.cross.cross_conv.weight"] = (cross, channels, 3, 3)
        shapes[f"{name}.cross.cross_conv.bias"] = (cross,)
        for stream in ("target", "support"):
            shapes[f"{name}.{stream}.vmapped.conv.weight"] = (features, cross, 3, 3)
            shapes[f"{name}.{stream}.vmapped.conv.bias"] = (features,)
    return {**shapes, "out_conv.conv.weight": (1, decoder[-1][1], 1, 1), "out_conv.conv.bias": (1,)}


def official_state_dict(encoder, decoder=None, *, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape).astype(np.float32) for name, shape in official_shapes(encoder, decoder).items()
    }


V1 = ((64, 64),) * 4
SMALL = ((2, 3), (4, 5), (3, 2))
