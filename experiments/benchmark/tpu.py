"""Compile prediction for TPUs without one, and report the compiler's figures.

    pip install -e ".[tpu-aot]"
    python -m experiments.benchmark.tpu --out experiments/results

The TPU compiler runs on a CPU machine. All figures are estimates of the compiler, not measurements on a chip. Loop
bodies count once in them. The time in memory and the time in arithmetic are lower bounds from the published peaks.
"""

import argparse
import itertools
import json
import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # before JAX is imported: there is no metadata server to ask
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax import backend
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights.mapping import blueprint

TOPOLOGIES = {"v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}

PEAKS = {"v5e": (197e12, 819e9), "v5p": (459e12, 2765e9), "v6e": (918e12, 1640e9)}
"""Peak bfloat16 operations and bytes of memory traffic per second of a chip, from https://cloud.google.com/tpu/docs."""


def compile_prediction(
    chip: str, *, entries: int, targets: int, dtype: str, chunk: int | None, definition: bool = False
) -> dict:
    """Compile a prediction of the released network at 128x128 pixels for one chip.

    Args:
        chip: key of TOPOLOGIES.
        entries: number of support entries, shared by all targets.
        targets: number of targets.
        dtype: dtype of images and features.
        chunk: support entries computed at a time; None is the choice of `backend`.
        definition: compile the network as the paper writes it instead of the fast path.

    Returns:
        The case, and the compiler's figures in bytes, operations and seconds.
    """
    device = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGIES[chip]).devices[0]
    place = jax.sharding.SingleDeviceSharding(device)

    def shaped(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=place)

    def predict(model: UniverSeg, *arrays: jax.Array) -> jax.Array:
        return model.definition(*arrays) if definition else model(*arrays, chunk=chunk)

    model = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), blueprint(UniverSeg, UniverSegConfig.v1())
    )
    support = shaped(1, entries, 128, 128, 1)
    with backend.compile_for("tpu"):
        compiled = jax.jit(predict).lower(model, shaped(targets, 128, 128, 1), support, support).compile()
    cost, flops, bandwidth = compiled.cost_analysis(), *PEAKS[chip]
    return {
        "chip": chip,
        "entries": entries,
        "targets": targets,
        "dtype": dtype,
        "chunk": chunk,
        "definition": definition,
        "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "operations": cost["flops"],
        "bytes": cost["bytes accessed"],
        "seconds_of_arithmetic": cost["flops"] / flops,
        "seconds_of_memory": cost["bytes accessed"] / bandwidth,
    }


def table(rows: list[dict]) -> str:
    """Write the rows as a Markdown table."""
    lines = [
        "| chip | S | B | dtype | code | chunk | temporary MB | GFLOP | GB accessed | ms arithmetic | ms memory |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        code = "definition" if row["definition"] else "ours"
        figures = (
            f"{row['temporary_bytes'] / 1e6:.0f} | {row['operations'] / 1e9:.1f} | {row['bytes'] / 1e9:.2f} | "
            f"{1e3 * row['seconds_of_arithmetic']:.2f} | {1e3 * row['seconds_of_memory']:.2f}"
        )
        chunk = "default" if row["chunk"] is None else row["chunk"]
        case = f"{row['chip']} | {row['entries']} | {row['targets']} | {row['dtype']} | {code} | {chunk}"
        lines.append(f"| {case} | {figures} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of tpu.{json,md}")
    parser.add_argument("--chips", nargs="+", choices=TOPOLOGIES, default=list(TOPOLOGIES), help="chips to compile for")
    parser.add_argument("--entries", nargs="+", type=int, default=[1, 16, 64, 256], help="numbers of support entries")
    parser.add_argument("--targets", nargs="+", type=int, default=[1, 16], help="numbers of targets")
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"], help="dtypes of images")
    parser.add_argument("--chunk", type=int, help="support entries at a time (default: choice of the backend)")
    parser.add_argument("--definition", action="store_true", help="compile the definition as well")
    arguments = parser.parse_args()
    kinds = [False, True] if arguments.definition else [False]
    cases = itertools.product(arguments.chips, arguments.entries, arguments.targets, arguments.dtypes, kinds)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for chip, entries, targets, dtype, definition in cases:
        chunk = None if definition else arguments.chunk
        rows.append(
            compile_prediction(chip, entries=entries, targets=targets, dtype=dtype, chunk=chunk, definition=definition)
        )
        print(json.dumps(rows[-1]), flush=True)
    command = shlex.join(["python", "-m", "experiments.benchmark.tpu", *sys.argv[1:]])
    results = {"command": command, "machine": machine(), "rows": rows}
    (arguments.out / "tpu.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "tpu.md").write_text(
        "# Prediction compiled for TPUs: the compiler's figures, not a chip's\n\n"
        f"`{command}`. Network: UniverSeg v1, 128x128 pixels, one chip. "
        f"Versions: {json.dumps(results['machine']['versions'])}.\n\n{table(rows)}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    run(main)
