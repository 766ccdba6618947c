"""Claim: `predict` takes hundreds of large examples and thousands of targets in a few gigabytes of memory.

    python -m experiments.many_images --out experiments/results/many_images.md

Makes pictures of discs in a temporary folder, and runs the command with a tiny network, so that the figures are the
cost of reading, resizing and writing. Targets are added to show that memory does not grow with them.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.faults.child import write_small_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="Markdown table to write")
    parser.add_argument("--examples", type=int, default=300, metavar="N", help="labelled images (default: 300)")
    parser.add_argument(
        "--targets", type=int, nargs="+", default=[20, 200, 2000], metavar="N", help="images (default: 20 200 2000)"
    )
    parser.add_argument("--size", type=int, default=1024, metavar="PIXELS", help="side of all images (default: 1024)")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        weights = write_small_weights(Path(place) / "weights")
        for number in arguments.targets:
            folder = Path(place) / str(number)
            _write_images(folder / "support", arguments.examples, arguments.size, masks=True)
            _write_images(folder / "targets", number, arguments.size, masks=False)
            seconds, peak = _predict(folder, weights)
            rows.append(f"| {arguments.examples} | {number} | {seconds:.0f} | {peak / 1e9:.2f} |")
            print(rows[-1], flush=True)
            _write_table(arguments.out, rows, arguments.size)


def _write_images(folder: Path, number: int, size: int, *, masks: bool) -> None:
    """Write images of noisy discs, of which the first 20 are drawn and the others are links."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(number):
        for kind in ("images", "masks") if masks else ("images",):
            file = folder / kind / f"{i:05d}.png"
            if i >= 20:
                os.link(folder / kind / f"{i % 20:05d}.png", file)
                continue
            inside = (rows - size / 2 - 5 * i) ** 2 + (columns - size / 2) ** 2 < (size / 4) ** 2
            noise = rng.integers(0, 40, inside.shape)
            array = np.where(inside, 255, 0) if kind == "masks" else np.where(inside, 160, 40) + noise
            Image.fromarray(array.astype(np.uint8)).save(file, compress_level=1)


def _predict(folder: Path, weights: Path) -> tuple[float, int]:
    """Run `predict`; returns seconds, and the largest memory of the process in bytes."""
    support, targets, out = folder / "support", folder / "targets" / "images", folder / "out"
    argv = ["predict", "-s", str(support), "-i", str(targets), "-o", str(out), "-w", str(weights), "-q"]
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "universeg_jax", *argv])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"predict ended with status {status}")
    return time.monotonic() - began, usage.ru_maxrss * 1024


def _write_table(file: Path, rows: list[str], size: int) -> None:
    command = shlex.join(["python", "-m", "experiments.many_images", *sys.argv[1:]])
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "numpy", "pillow"))
    about = f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    head = f"| examples of {size} px | targets | seconds | peak memory, GB |\n|---|---|---|---|"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"`{command}`\n\n{about}\n\n{head}\n" + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
