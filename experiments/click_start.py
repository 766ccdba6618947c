"""Measure the Dice of masks that start from one click or one box, on the shipped examples.

    python -m experiments.click_start --out experiments/results/app

The three largest structures of each labelled picture are clicked at their deepest pixel, and boxed tightly. Volumes
give the slice with the largest mask. Three prompts are scored: the click as the page takes it (boxes of several sizes),
the click as a point prompt of LiteMedSAM, and the box.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy import ndimage

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.app.clicks import Prompter
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice
from universeg_jax.models.sam.model import logits_to_image, prompts_to_resized
from universeg_jax.util.json_files import write_json
from universeg_jax.weights import load

SETS = ("nuclei", "fetal-head", "hippocampus")
STRUCTURES = 3


def structures(workspace: Workspace) -> Iterator[tuple[str, np.ndarray]]:
    """Yield names of images and masks (H,W) of their largest connected structures."""
    names = workspace.confirmed()
    for scan in workspace.scans.values():
        labelled = [name for name in scan if name in names]
        largest = max(labelled, key=lambda name: np.count_nonzero(workspace.mask(name)))
        names = [name for name in names if name not in labelled or name == largest]
    for name in names:
        parts, _ = ndimage.label(workspace.mask(name) != 0)
        sizes = np.bincount(parts.ravel())[1:]
        for number in np.argsort(-sizes)[:STRUCTURES]:
            yield name, parts == number + 1


def by_point_prompt(prompter: Prompter, name: str, click: tuple[int, int]) -> np.ndarray:
    """Return the mask with the highest score for a click as a point prompt. The image was encoded before."""
    assert prompter._encoded is not None
    size, longest = prompter.workspace.picture(name).shape[:2], prompter.sam.config.input_size
    points = prompts_to_resized(np.asarray([[click]], np.float32), size, longest)
    logits, scores = prompter.sam.decode(prompter._encoded[1], points=points, point_labels=np.ones((1, 1), np.int32))
    return np.asarray(logits_to_image(logits, size, longest))[0, 1 + int(np.argmax(np.asarray(scores)[0, 1:]))] > 0


def measure(prompter: Prompter, name: str, structure: np.ndarray) -> dict[str, float]:
    """Return the Dice of each kind of prompt for one structure (H,W)."""
    depth = ndimage.distance_transform_edt(np.pad(structure, 1))[1:-1, 1:-1]
    y, x = (int(i) for i in np.unravel_index(depth.argmax(), depth.shape))
    rows, columns = np.nonzero(structure.any(1))[0], np.nonzero(structure.any(0))[0]
    corners = [(int(columns[0]), int(rows[0])), (int(columns[-1]) + 1, int(rows[-1]) + 1)]
    found = {}
    for kind, points in {"box": corners, "click": [(x, y)]}.items():
        found[kind] = np.zeros_like(structure)
        with suppress(InputError):  # nothing was found
            found[kind] = prompter.segment(name, points, box=kind == "box")
    found["point prompt"] = by_point_prompt(prompter, name, (x, y))
    return {kind: round(float(dice(mask, structure)), 3) for kind, mask in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of clicks.json")
    arguments = parser.parse_args()
    sam, results = load("lite-medsam"), {}
    for name in SETS:
        with tempfile.TemporaryDirectory() as place:
            shutil.copytree(
                Path(str(files("universeg_jax") / "assets" / "examples" / name / "support")), place + "/one"
            )
            workspace = Workspace(Path(place) / "one")
            prompter = Prompter(workspace, sam)
            rows = [{"image": image, **measure(prompter, image, one)} for image, one in structures(workspace)]
        mean = {kind: round(float(np.mean([row[kind] for row in rows])), 3) for kind in rows[0] if kind != "image"}
        results[name] = {"structures": len(rows), "mean Dice": mean, "each": rows}
        print(name, len(rows), mean, flush=True)
    about = {"command": "python -m experiments.click_start --out experiments/results/app", "machine": machine()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / "clicks.json", {**about, **results})


if __name__ == "__main__":
    run(main)
