"""Claim: the tutorial runs in ten minutes on two CPU cores, also while they do other work.

    python -m experiments.tutorial --out experiments/results

Runs docs/tutorial.ipynb from its beginning in a new process, without compiled code of earlier runs. Downloads are part
of the time, unless the weights of LiteMedSAM are in the cache folder already.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from experiments.benchmark.machine import machine
from experiments.command import run

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def measure(file: Path) -> list[tuple[str, float]]:
    """Run all cells of a notebook.

    Returns:
        The heading and the seconds of each part.
    """
    notebook = nbformat.read(file, as_version=4)
    parts, seconds = ["Preparation"], [0.0]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/compiled"
        client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": folder}})
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                headings = [line for line in cell.source.splitlines() if line.startswith("## ")]
                if cell.cell_type == "markdown" and headings:
                    parts, seconds = [*parts, headings[-1].removeprefix("## ")], [*seconds, 0.0]
                began = time.perf_counter()
                client.execute_cell(cell, index)
                seconds[-1] += time.perf_counter() - began
    return list(zip(parts, seconds, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of tutorial.json")
    arguments = parser.parse_args()
    parts = {name: round(seconds, 1) for name, seconds in measure(TUTORIAL) if seconds > 0.05}
    content = {"seconds": round(sum(parts.values()), 1), "parts": parts, "machine": machine()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "tutorial.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    run(main)
