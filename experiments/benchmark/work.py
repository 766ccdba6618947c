"""Count the arithmetic of a call, and measure the speed of this machine."""

import time

import jax
import jax.numpy as jnp

from universeg_jax.models.universeg import UniverSegConfig


def multiply_adds(config: UniverSegConfig, *, entries: int, size: int) -> float:
    """Count multiply-adds of the convolutions for one target in `UniverSeg.__call__`."""
    pixels = [size**2 / 4**stage for stage in range(len(config.encoder_features))]
    (cross, out), *middle = config.encoder_features
    # First block: both streams as 5x5 convolutions, from (image, 1) for both, the support mean, and the support.
    total = 25 * pixels[0] * out * (4 + 2 + 2 * entries)
    below, skips = out, [out]
    for (cross, out), area in zip(middle, pixels[1:], strict=True):
        total += 9 * area * (below * cross * (1 + entries) + cross * out * (1 + entries))
        below = out
        skips.append(out)
    for index, ((cross, out), area) in enumerate(zip(config.decoder, pixels[-2::-1], strict=True)):
        width = below + skips[-2 - index]
        last = index == len(config.decoder) - 1
        total += 9 * area * (width * cross * (2 if last else 1 + entries) + cross * out * (1 if last else 1 + entries))
        below = out
    return total


def official_multiply_adds(config: UniverSegConfig, *, entries: int, size: int) -> float:
    """Count the same for the official code: every convolution on every entry, including the unused last one."""
    total, below, skips = 0.0, (1, 2), []
    for stage, (cross, out) in enumerate(config.encoder_features):
        area = size**2 / 4**stage
        total += 9 * area * (sum(below) * cross * entries + cross * out * (entries + 1))
        below = (out, out)
        skips.append(out)
    for index, (cross, out) in enumerate(config.decoder):
        area = size**2 / 4 ** (len(config.decoder) - 1 - index)
        width = 2 * (below[0] + skips[-2 - index])
        total += 9 * area * (width * cross * entries + cross * out * (entries + 1))
        below = (out, out)
    return total


def matmul_flops() -> float:
    """Measure operations a second in a large float32 matrix product, the best of several."""
    size = 2048
    matrix = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
