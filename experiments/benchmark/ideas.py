"""Measure ideas for faster prediction on a CPU, each in turn with the code as it is.

    python -m experiments.benchmark.ideas --out experiments/results

An idea is kept if it is clearly faster. Compilers and processors change, so it can be tried again with this command.
A quiet machine of two cores takes two minutes.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import universeg_jax as uj
from experiments.benchmark.machine import machine
from experiments.benchmark.sides import episode
from experiments.benchmark.turns import in_turn, medians, ratio
from experiments.command import run
from universeg_jax import backend
from universeg_jax.nn.conv import conv2d
from universeg_jax.nn.conv_twice import conv_twice, conv_twice_pixels
from universeg_jax.nn.resample import max_pool, upsample

SIZE, WIDTH = 128, 64
LARGEST_DIFFERENCE = 1e-3  # of float32 results, relative to their largest value

Side = Callable[[], jax.Array]


def random(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def jitted(function: Callable, *arrays: jax.Array, options: dict | None = None) -> Side:
    """Compile a function, with the options of `backend` if none are given, and fix its arguments."""
    compiled = jax.jit(function, compiler_options=backend.compiler_options() if options is None else options)
    return lambda: jax.block_until_ready(compiled(*arrays))


def last_block_by_ynnpack() -> tuple[Side, Side]:
    """Compute the convolutions of the last block by YNNPACK, as a second program."""
    arrays = (random(0, 1, SIZE, SIZE, 2 * WIDTH), random(1, 3, 3, 2 * WIDTH, WIDTH), random(2, 3, 3, WIDTH, WIDTH))

    def block(features: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
        return conv2d(jax.nn.leaky_relu(conv2d(features, first)), second)

    return jitted(block, *arrays), jitted(block, *arrays, options={})


def skip_half_apart() -> tuple[Side, Side]:
    """Convolve the upsampled half and the skip half of the last block apart, so that the latter need not wait."""
    low, skip, kernel = (
        random(0, 1, SIZE // 2, SIZE // 2, WIDTH),
        random(1, 1, SIZE, SIZE, WIDTH),
        random(2, 3, 3, 2 * WIDTH, WIDTH),
    )

    def together(low: jax.Array, skip: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv2d(jnp.concatenate([upsample(low), skip], axis=-1), kernel)

    def apart(low: jax.Array, skip: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv2d(upsample(low), kernel[:, :, :WIDTH]) + conv2d(skip, kernel[:, :, WIDTH:])

    return jitted(together, low, skip, kernel), jitted(apart, low, skip, kernel)


def pixels_in_channels() -> tuple[Side, Side]:
    """Compute the first layer of an entry with 2x2 blocks of pixels as channels, as on a TPU."""
    arrays = random(0, 1, SIZE, SIZE, 2), random(1, 3, 3, 2, WIDTH), random(2, 3, 3, WIDTH, WIDTH)

    def folded(*arrays: jax.Array) -> jax.Array:
        return reduce(jnp.maximum, map(jax.nn.leaky_relu, conv_twice_pixels(*arrays)))

    now = jitted(lambda *arrays: max_pool(jax.nn.leaky_relu(conv_twice(*arrays))), *arrays)
    return now, jitted(folded, *arrays)


def two_side_by_side() -> tuple[Side, Side]:
    """Compute the 5x5 convolution of two targets as one with twice the channels and a kernel of two blocks."""
    images, kernel = random(0, 2, SIZE, SIZE, 2), random(1, 5, 5, 2, WIDTH)

    def beside(images: jax.Array, kernel: jax.Array) -> jax.Array:
        zeros = jnp.zeros_like(kernel)
        joint = jnp.concatenate([jnp.concatenate([kernel, zeros], 3), jnp.concatenate([zeros, kernel], 3)], 2)
        both = conv2d(jnp.concatenate([images[:1], images[1:]], axis=-1), joint)
        return jnp.concatenate([both[..., :WIDTH], both[..., WIDTH:]])

    return jitted(conv2d, images, kernel), jitted(beside, images, kernel)


def _prediction(entries: int, dtype: str) -> Side:
    model = uj.universeg()
    arrays = [jnp.asarray(x, dtype) for x in episode(1, entries, SIZE)]
    return lambda: jax.block_until_ready(model(*arrays))


def bfloat16(entries: int) -> tuple[Side, Side]:
    """Compute a whole prediction in bfloat16."""
    return _prediction(entries, "float32"), _prediction(entries, "bfloat16")


def all_by_ynnpack(entries: int) -> tuple[Side, Side]:
    """Compute a whole prediction with the convolutions by YNNPACK."""
    model = uj.universeg()
    arrays = [jnp.asarray(x) for x in episode(1, entries, SIZE)]
    return _prediction(entries, "float32"), jitted(lambda *given: model(*given), *arrays, options={})


IDEAS: dict[str, Callable[[], tuple[Side, Side]]] = {
    "last block: convolutions by YNNPACK": last_block_by_ynnpack,
    "last block: skip half apart": skip_half_apart,
    "first layer: 2x2 pixels as channels": pixels_in_channels,
    "first layer: two targets side by side": two_side_by_side,
    "prediction, S = 1: bfloat16": lambda: bfloat16(1),
    "prediction, S = 16: bfloat16": lambda: bfloat16(16),
    "prediction, S = 1: convolutions by YNNPACK": lambda: all_by_ynnpack(1),
    "prediction, S = 16: convolutions by YNNPACK": lambda: all_by_ynnpack(16),
}


def measure(idea: str, *, runs: int) -> dict:
    """Time the code as it is and the idea in turn.

    Raises:
        AssertionError: the results differ by more than rounding.
    """
    sides = dict(zip(("now", "idea"), IDEAS[idea](), strict=True))
    now, other = (np.asarray(side(), np.float32) for side in sides.values())
    difference = float(np.abs(now - other).max() / np.abs(now).max())
    if "bfloat16" not in idea and not difference < LARGEST_DIFFERENCE:
        raise AssertionError(f"{idea}: the results differ by {difference:.1e} of the largest value")
    taken = in_turn(sides, runs=runs)
    return {
        "idea": idea,
        "runs": runs,
        "difference": difference,
        **medians(taken),
        **ratio(taken, ours="idea", theirs="now"),
    }


def table(rows: list[dict]) -> str:
    """Write the rows as a Markdown table."""
    lines = ["| idea | now (ms) | idea (ms) | now / idea | range | difference |", "|---|---|---|---|---|---|"]
    for row in rows:
        low, high = row["ratio_range"]
        times = f"{1e3 * row['now_seconds']:.1f} | {1e3 * row['idea_seconds']:.1f}"
        lines.append(
            f"| {row['idea']} | {times} | **{row['ratio']:.2f}** | {low:.2f}-{high:.2f} | {row['difference']:.0e} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of ideas.{json,md}")
    parser.add_argument("--runs", type=int, default=15, help="runs of each side (default: %(default)s)")
    arguments = parser.parse_args()
    rows = []
    for idea in IDEAS:
        rows.append(measure(idea, runs=arguments.runs))
        print(json.dumps(rows[-1]), flush=True)
    command = shlex.join(["python", "-m", "experiments.benchmark.ideas", *sys.argv[1:]])
    results = {"command": command, "machine": machine(), "rows": rows}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "ideas.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    place = results["machine"]
    (arguments.out / "ideas.md").write_text(
        f"# Ideas for faster prediction on a CPU\n\n`{command}`. {place['processor']}, {place['cores']} cores, jax "
        f"{place['versions']['jax']}. Medians of runs in turn; above 1, the idea is faster. Differences are of the "
        f"largest value of the result.\n\n{table(rows)}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    run(main)
