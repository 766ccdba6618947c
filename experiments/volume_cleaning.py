"""Measure what cleaning does to predicted masks: `python -m experiments.volume_cleaning RESULT LABELS OUT`.

RESULT is the output folder of `universeg-jax predict` on volumes, LABELS holds the true masks of the same names. The
masks are cleaned in several ways, and the 3-D Dice of each structure is measured before and after. Smoothing is a
Gaussian across slices of each structure's mask. OUT/cleaning.md is the table.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy.ndimage import gaussian_filter1d

from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.volume_files import read_label_volume, read_volume
from universeg_jax.io.volume_folder import find_volumes
from universeg_jax.segment.planes import Planes, coarsest_axis
from universeg_jax.segment.postprocess import Cleaning
from universeg_jax.segment.report import environment


def smoothed(mask: np.ndarray, values: np.ndarray, along: int, sigma: float) -> np.ndarray:
    """Smooth each class of a mask (X,Y,Z) across slices; the likeliest class wins."""
    maps = [gaussian_filter1d((mask == value).astype(np.float32), sigma, axis=along) for value in values]
    return values[np.argmax(maps, axis=0)].astype(mask.dtype)


WAYS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "as predicted": lambda mask, values, along: mask,
    "largest component": lambda mask, values, along: Cleaning(largest=True)(mask.copy(), values),
    "without islands below 0.02": lambda mask, values, along: Cleaning(islands=0.02)(mask.copy(), values),
    "without islands below 0.1": lambda mask, values, along: Cleaning(islands=0.1)(mask.copy(), values),
    "smoothed by 1 slice": lambda mask, values, along: smoothed(mask, values, along, 1.0),
    "smoothed by 1.5 slices": lambda mask, values, along: smoothed(mask, values, along, 1.5),
}


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("result", "labels", "out"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    arguments = parser.parse_args()
    report = json.loads((arguments.result / "report.json").read_text(encoding="utf-8"))
    names = {one["value"]: name for scan in report["scans"] for name, one in scan["structures"].items()}
    values = np.array([0, *names])
    scores: dict[str, dict[str, list[float]]] = {way: {name: [] for name in names.values()} for way in WAYS}
    scans = find_volumes(arguments.result / "masks", arguments.labels)
    for scan in scans:
        volume = read_volume(scan.image)
        truth = read_label_volume(scan.mask, volume)[0].voxels
        planes = Planes.of(volume, coarsest_axis(volume))
        along = int(np.argmax([abs(s - planes.spacing[0]) < 1e-6 for s in volume.spacing]))
        for way, clean in WAYS.items():
            mask = clean(volume.voxels, values, along)
            for value, name in names.items():
                scores[way][name].append(dice(mask == value, truth == value))
    lines = [
        "# Cleaning of predicted masks",
        "",
        f"`python -m experiments.volume_cleaning RESULT LABELS OUT`; {len(scans)} scans, mean 3-D Dice.",
        "",
        "| cleaning | " + " | ".join(names.values()) + " | mean | scans better | scans worse |",
        "|---" * (len(names) + 4) + "|",
    ]
    first = [fmean(scores["as predicted"][name][i] for name in names.values()) for i in range(len(scans))]
    for way, of_way in scores.items():
        own = [fmean(of_way[name][i] for name in names.values()) for i in range(len(scans))]
        better, worse = (sum(sign * (a - b) > 5e-4 for a, b in zip(own, first, strict=True)) for sign in (1, -1))
        cells = " | ".join(f"{fmean(dices):.3f}" for dices in of_way.values())
        lines.append(f"| {way} | {cells} | {fmean(own):.3f} | {better} | {worse} |")
    about = environment()
    versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = "\n".join([*lines, "", f"{versions}; {about['platform']}.", ""])
    (arguments.out / "cleaning.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
