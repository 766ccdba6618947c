"""Compile prediction and training for TPUs without one, and report the compiler's figures.

    pip install -e ".[tpu-aot]"
    python -m experiments.benchmark.tpu --out experiments/results

The TPU compiler runs on a CPU machine, a minute or two for each row. All figures are estimates of the compiler, not
measurements on a chip. The times in memory and in arithmetic are lower bounds from the published peaks. A row that the
results hold already is not compiled again. The most important rows come first, and --minutes ends the run early.

A loop counts once. So S = 256, which runs in chunks of 64, is compiled in one chunk for its operations and bytes, and
again in chunks for its memory. A loop over targets is multiplied by its number of trips.
"""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # libtpu would else look for a chip

import jax

from experiments.benchmark.machine import machine
from experiments.benchmark.tpu_programs import TOPOLOGIES, figures, prediction, training_step
from experiments.command import run

CHUNK = 64  # support entries at a time, the choice of `backend` for accelerators


def cases() -> Iterator[dict]:
    """Yield the cases, the most important first."""
    first = {"chip": "v5e", "entries": 64, "targets": 1, "dtype": "bfloat16", "code": "ours"}
    train = {"chip": "v5e", "entries": 64, "topology": "2x2", "support_devices": 1, "checkpoint": False}
    for targets, dtype in ((1, "bfloat16"), (16, "bfloat16"), (1, "float32")):
        for entries in (64, 16, 1, 256):
            for chip in TOPOLOGIES:
                yield first | {"chip": chip, "entries": entries, "targets": targets, "dtype": dtype}
            if entries == 16:
                yield train
        if targets == 1 and dtype == "bfloat16":
            yield first | {"code": "definition"}
            yield train | {"support_devices": 2}
    yield train | {"checkpoint": True}
    yield train | {"topology": "4x4"}
    for chip in TOPOLOGIES:
        for entries in (16, 64, 1, 256):
            yield first | {"chip": chip, "entries": entries, "targets": 16, "dtype": "float32"}
            for targets in (1, 16):
                yield first | {"chip": chip, "entries": entries, "targets": targets, "code": "definition"}


def measure(case: dict) -> dict:
    """Compile one case and return it with its figures, or with the reason why it does not fit into a chip's memory."""
    start = time.perf_counter()
    try:
        found = _figures(case)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        found = {"too_large": str(error).splitlines()[0]}
    return case | found | {"seconds_to_compile": time.perf_counter() - start}


def _figures(case: dict) -> dict:
    if "topology" in case:
        options = {name: case[name] for name in ("entries", "support_devices", "checkpoint")}
        found = figures(training_step(f"{case['chip']}:{case['topology']}", **options), case["chip"])
    else:
        options = {name: case[name] for name in ("entries", "targets", "dtype")}
        options["definition"] = case["code"] == "definition"
        found = figures(prediction(case["chip"], **options, chunk=case["entries"]), case["chip"])
        if case["code"] == "ours" and case["entries"] > CHUNK:
            in_chunks = figures(prediction(case["chip"], **options), case["chip"])
            found["temporary_bytes"] = in_chunks["temporary_bytes"]
        for name in found.keys() - {"temporary_bytes", "argument_bytes", "trips", "collectives"}:
            found[name] *= found["trips"]  # a loop over targets
    return found


def table(rows: list[dict]) -> str:
    """Write the rows as two Markdown tables, of predictions and of training steps."""
    head = "temporary MB | GFLOP | GB accessed | GB of HBM | million cycles | ms arithmetic | ms memory |"
    predictions = ["| chip | S | targets | dtype | code | " + head, "|---" * 12 + "|"]
    steps = ["| chips | S | mesh | activations | " + head + " collectives |", "|---" * 12 + "|"]
    fitting = [row for row in rows if "too_large" not in row]
    for row in sorted(fitting, key=lambda row: ("vV".find(row["chip"][0]), row["chip"], row["entries"])):
        numbers = (
            f"{row['temporary_bytes'] / 1e6:.0f} | {row['operations'] / 1e9:.1f} | {row['bytes'] / 1e9:.2f} | "
            f"{_figure(row, 'memory_bytes', 1e9)} | {_figure(row, 'cycles', 1e6)} | "
            f"{1e3 * row['seconds_of_arithmetic']:.2f} | {1e3 * row['seconds_of_memory']:.2f} |"
        )
        if "topology" in row:
            support = row["support_devices"]
            mesh = "data" if support == 1 else f"data, support of {support}"
            kept = "computed again" if row["checkpoint"] else "kept"
            kinds = [f"{of['count']} {kind}, {of['bytes'] / 1e6:.1f} MB" for kind, of in row["collectives"].items()]
            case = f"{row['chip']} {row['topology']} | {row['entries']} | {mesh} | {kept}"
            steps.append(f"| {case} | {numbers} {'; '.join(kinds) or 'none'} |")
        else:
            case = " | ".join(str(row[name]) for name in ("chip", "entries", "targets", "dtype", "code"))
            predictions.append(f"| {case} | {numbers}")
    too_large = [f"- {_name(row)}: {row['too_large']}" for row in rows if "too_large" in row]
    return "\n".join(
        [
            "Prediction on one chip:",
            "",
            *predictions,
            "",
            "Training, one episode for each part of the data:",
            "",
            *steps,
            "",
            "A row with - is from an earlier version of the library. "
            "Without GB of HBM, the time of memory counts all bytes accessed.",
            "",
            *(["Too large for the memory of a chip:", "", *too_large, ""] if too_large else []),
        ]
    )


def _figure(row: dict, name: str, unit: float) -> str:
    return f"{row[name] / unit:.2f}" if name in row else "-"


def _name(row: dict) -> str:
    return ", ".join(f"{key} {row[key]}" for key in row if key not in ("too_large", "seconds_to_compile"))


def write(out: Path, results: dict) -> None:
    (out / "tpu.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "tpu.md").write_text(
        "# Prediction and training compiled for TPUs: the compiler's figures, not a chip's\n\n"
        f"`{results['command']}`. Network: UniverSeg v1, 128x128 pixels; training in bfloat16. "
        f"Versions: {json.dumps(results['machine']['versions'])}.\n\n{table(results['rows'])}",
        encoding="utf-8",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of tpu.{json,md}")
    parser.add_argument("--minutes", type=float, default=600, help="start no row after so long (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="compile all rows again")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    file, start = arguments.out / "tpu.json", time.perf_counter()
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() and not arguments.again else []
    command = shlex.join(["python", "-m", "experiments.benchmark.tpu", *sys.argv[1:]])
    for case in cases():
        if any(case.items() <= row.items() for row in rows):
            continue
        if time.perf_counter() - start > 60 * arguments.minutes:
            print("the time is up: give the command again for the other rows")
            break
        rows.append(measure(case))
        print(json.dumps(rows[-1]), flush=True)
        write(arguments.out, {"command": command, "machine": machine(), "rows": rows})


if __name__ == "__main__":
    run(main)
