"""Measure the time to augment an episode, to train on it, and to run the parts of the augmentation."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from experiments.benchmark.turns import in_turn, medians
from universeg_jax import backend
from universeg_jax.data.augment import Policy, augment_episode, operations
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.shapes import Array

SUPPORT, SIZE = 16, 128
ENTRIES = 1 + SUPPORT


def measure(*, runs: int) -> dict:
    """Measure medians in milliseconds for one episode of 16 support entries and 128×128 pixels."""
    episode = _milliseconds(_episode_sides(), runs=runs)
    operations = _milliseconds(_operation_sides(), runs=3 * runs)
    warps = _milliseconds(_warp_sides(), runs=runs)
    return {
        "support": SUPPORT,
        "size": SIZE,
        "runs": runs,
        "share_of_training_step": episode["augmentation"] / episode["training step"],
        "episode_ms": episode,
        "operations_ms": operations,
        "interpolation_ms": warps,
    }


def _milliseconds(sides: dict[str, Callable[[], object]], *, runs: int) -> dict[str, float]:
    done = {name: partial(_until_done, run) for name, run in sides.items()}
    in_turn(done, runs=1)  # compiles
    taken = medians(in_turn(done, runs=runs))
    return {name: round(1000 * taken[f"{name}_seconds"], 3) for name in sides}


def _until_done(run: Callable[[], object]) -> None:
    jax.block_until_ready(run())


def _compiled(function: Callable, *arguments: Array) -> Callable[[], object]:
    compiled = jax.jit(function, compiler_options=backend.compiler_options())
    return lambda: compiled(*arguments)


def _episode_sides() -> dict[str, Callable[[], object]]:
    key = jax.random.key(0)
    images = jax.random.uniform(key, (1, ENTRIES, SIZE, SIZE, 1))
    labels = (images > 0.5).astype(jnp.float32)
    model = UniverSeg(UniverSegConfig.v1(), rngs=nnx.Rngs(0))

    def loss(model: UniverSeg) -> Array:
        # All support entries at once: on a CPU the gradient of one at a time is far slower, unlike the network itself.
        logits = model(images[:, 0], images[:, 1:], labels[:, 1:], chunk=SUPPORT)
        return ((jax.nn.sigmoid(logits) - labels[:, 0]) ** 2).mean()

    def augment(policy: Policy) -> Callable[[], object]:
        arrays = images[0, 0], labels[0, 0], images[0, 1:], labels[0, 1:]
        return _compiled(partial(augment_episode, policy=policy), key, *arrays)

    return {
        "training step": _compiled(jax.value_and_grad(loss), model),
        "augmentation": augment(Policy.universeg()),
    }


def _operation_sides() -> dict[str, Callable[[], object]]:
    """Compile each operation on all entries."""
    keys = jax.random.split(jax.random.key(0), ENTRIES)
    strengths = jax.random.uniform(jax.random.key(1), (ENTRIES,), minval=0.1)
    images = jax.random.uniform(jax.random.key(2), (ENTRIES, SIZE, SIZE, 1))
    grids = jnp.stack([operations.pixel_grid(SIZE, SIZE)] * ENTRIES)

    def side(function: Callable, *arrays: Array) -> Callable[[], object]:
        return _compiled(jax.vmap(function), *arrays, strengths)

    def elastic(key: Array, grid: Array, s: Array) -> Array:
        noise = jax.random.uniform(key, grid.shape, minval=-1)
        return operations.elastic(grid, noise, alpha=s, sigma=6 + s)

    return {
        "flips": side(lambda grid, s: operations.flip(grid, vertical=s > 0.5, horizontal=s < 0.5), grids),
        "affine": side(lambda grid, s: operations.affine(grid, rotation=s, scale=s), grids),
        "elastic": side(elastic, keys, grids),
        "interpolation of image and label": _compiled(jax.vmap(operations.warp), *_warped()),
        "brightness and contrast": side(
            lambda image, s: operations.adjust_brightness_contrast(image, brightness=s, contrast=s), images
        ),
        "blur": side(lambda image, s: operations.gaussian_blur(image, sigma=s), images),
        "noise": side(lambda key, image, s: operations.add_gaussian_noise(key, image, mean=s, std=s), keys, images),
        "sharpness": side(lambda image, s: operations.adjust_sharpness(image, factor=s), images),
        "edges": side(lambda image, s: operations.edges(image), images),
    }


def _warped() -> tuple[Array, Array]:
    """Images with their labels (N,H,W,2), and coordinates (N,2,H,W) all over them and beyond."""
    pairs = jax.random.uniform(jax.random.key(0), (ENTRIES, SIZE, SIZE, 2))
    grid, angles = operations.pixel_grid(SIZE, SIZE), jnp.linspace(0, 360, ENTRIES)
    return pairs, jax.vmap(lambda angle: operations.affine(grid, rotation=angle, scale=0.9))(angles)


def _warp_sides() -> dict[str, Callable[[], object]]:
    """The interpolation that is used, and others that give the same."""
    arrays = _warped()
    one_at_a_time = partial(lax.map, lambda pair: _by_matrix(*pair))
    ways = {
        "map_coordinates, each channel": jax.vmap(operations.warp),
        "one gather for both channels": jax.vmap(_by_gather),
        "matrix product with the weights of a row": lambda *pair: one_at_a_time(pair),
    }
    expected = ways["map_coordinates, each channel"](*arrays)
    for name, way in ways.items():
        if (error := float(jnp.abs(way(*arrays) - expected).max())) > 1e-3:
            raise AssertionError(f"{name}: differs by {error}")
    return {name: _compiled(way, *arrays) for name, way in ways.items()}


def _by_gather(image: Array, coordinates: Array) -> Array:
    height, width, channels = image.shape
    rows, columns = (jnp.clip(c + 1, 0, size + 1) for c, size in zip(coordinates, (height, width), strict=True))
    top, left = (jnp.minimum(jnp.floor(c), size).astype(int) for c, size in ((rows, height), (columns, width)))
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    framed = jnp.pad(image, ((1, 1), (1, 1), (0, 0))).reshape(-1, channels)
    corner = top * (width + 2) + left
    above, below = (framed[start] * (1 - right) + framed[start + 1] * right for start in (corner, corner + width + 2))
    return above * (1 - down) + below * down


def _by_matrix(image: Array, coordinates: Array) -> Array:
    height, width, channels = image.shape
    rows, columns = (
        jnp.maximum(0, 1 - jnp.abs(c.reshape(-1, 1) - jnp.arange(size)))
        for c, size in zip(coordinates, (height, width), strict=True)
    )
    fetched = jnp.dot(rows, image.reshape(height, -1), precision="highest").reshape(-1, width, channels)
    return (fetched * columns[..., None]).sum(axis=1).reshape(*coordinates.shape[1:], channels)
