"""Measure the memory that a large CT takes: `python -m experiments.volume_memory OUT`.

The command writes a synthetic CT of 512x512x600 int16 voxels and two labelled volumes to a temporary folder, and runs
`universeg-jax predict` on them in a process of its own. OUT/memory.json holds the peak of its resident memory, and the
peak of a process that only imports. `--shown` slices have contents; the others are constant and pass quickly. All are
read, held and written.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

from universeg_jax.cli.predict import MODELS
from universeg_jax.segment.report import environment

SHAPE = (512, 512, 600)
IMPORT = "import universeg_jax.cli.predict, universeg_jax.segment.volume_folder, jax; jax.devices()"
GOAL = 2000  # megabytes above import


def body(shape: tuple[int, int, int], start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a CT (X,Y,Z) in Hounsfield units and its mask: an organ in a body, on slices start to stop."""
    rng = np.random.default_rng(0)
    image, mask = np.full(shape, -1000, np.int16), np.zeros(shape, np.uint8)
    x, y = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    inside, organ = x**2 + y**2 < 0.6, (x - 0.3) ** 2 + y**2 < 0.04
    for k in range(start, stop):
        plane = np.where(organ, 120, np.where(inside, 40, -1000))
        image[..., k] = plane + rng.integers(-20, 20, shape[:2])
        mask[..., k] = organ
    return image, mask


def peak(command: list[str]) -> float:
    """Run a command and return the peak of its resident memory in megabytes (10^6 bytes)."""
    code = f"import resource, subprocess, sys; r = subprocess.run({command!r}, stdout=subprocess.DEVNULL).returncode; "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(r)"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stdout) * unit / 1e6


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the result")
    parser.add_argument("--model", choices=MODELS, default="auto", help="as of predict (default: %(default)s)")
    parser.add_argument("--shown", type=int, default=16, metavar="N", help="slices with contents (default: 16)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for folder in ("support/images", "support/masks", "scans"):
            (place / folder).mkdir(parents=True)
        middle = SHAPE[2] // 2
        for name_of_volume, start in (("a", 8), ("b", 12)):
            image, mask = body((256, 256, 64), start, 56)
            file = f"{name_of_volume}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), place / "support" / "images" / file)
            nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), place / "support" / "masks" / file)
        image, _ = body(SHAPE, middle - arguments.shown // 2, middle - arguments.shown // 2 + arguments.shown)
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), place / "scans" / "ct.nii.gz")
        del image, mask
        predict = [sys.executable, "-m", "universeg_jax", "predict", "--model", arguments.model]
        predict += ["--modality", "CT", "--quiet", "-s", str(place / "support"), "-i", str(place / "scans")]
        imported = peak([sys.executable, "-c", IMPORT])
        began = time.perf_counter()
        whole = peak([*predict, "-o", str(place / "out")])
        seconds = time.perf_counter() - began
    result = {
        "command": f"python -m experiments.volume_memory OUT --model {arguments.model} --shown {arguments.shown}",
        "voxels": SHAPE,
        "dtype": "int16",
        "megabytes_at_peak": round(whole),
        "megabytes_of_import": round(imported),
        "megabytes_above_import": round(whole - imported),
        "goal": GOAL,
        "seconds": round(seconds, 1),
        "model": arguments.model,
        **environment(),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "memory.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
