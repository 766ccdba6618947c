"""Measure the choice of labelled slices for volumes on real scans: `python -m experiments.volumes SCANS OUT`.

SCANS holds image_ID.nii.gz and label_ID.nii.gz, as the abdominal MR of CHAOS in the layout of Q-Net
(doi:10.5281/zenodo.3362844, CC BY-NC-SA 4.0). The scans, sorted by number, are divided into five folds. The first scan
of each fold is segmented from labelled scans of the other folds, drawn at random. Only every `--step`-th slice is
segmented; the Dice of each organ is taken over these slices together.

A run that was stopped resumes: OUT/records.jsonl holds what was measured. OUT/choices.md is the table.
"""

import argparse
import json
import re
import time
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from universeg_jax.cli.shared import add_weights
from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.volume_files import read_label_volume, read_volume
from universeg_jax.io.volume_folder import LabelledVolume
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.report import environment
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.volume import fit_volumes

ORGANS = {1: "liver", 2: "right kidney", 3: "left kidney", 4: "spleen"}
BASE = SliceChoice(size=16, by="both", varied=0.0, share=0.0)
MIXED = replace(BASE, varied=0.5)
CHOICES = {
    "nearest": BASE,
    "random": replace(BASE, by="random"),
    "half nearest, half by structure": MIXED,
    "half nearest, half by structure, at most half empty": replace(MIXED, negatives=0.5),
    "nearest by position": replace(BASE, by="position"),
    "nearest by similarity": replace(BASE, by="similarity"),
    "half nearest, half by structure, 8 slices": replace(MIXED, size=8),
    "half nearest, half by structure, 32 slices": replace(MIXED, size=32),
    "all by structure": replace(BASE, varied=1.0),
    "half nearest, half by structure, none empty": replace(MIXED, negatives=0.0),
    "half nearest, half by structure, none empty, 32 slices": replace(MIXED, negatives=0.0, size=32),
    "half nearest, half by structure, at most half empty, 32 slices": replace(MIXED, negatives=0.5, size=32),
    "random, at most half empty": replace(BASE, by="random", negatives=0.5),
    "half nearest, half by structure, 64 slices": replace(MIXED, size=64),
}


class Scans:
    """Labelled scans by number; one is in memory at a time."""

    def __init__(self, folder: Path, numbers: list[int]):
        self.folder, self.numbers = folder, numbers

    @classmethod
    def of(cls, folder: Path) -> "Scans":
        """Find all scans of a folder."""
        found = [
            int(match[1]) for file in folder.iterdir() if (match := re.fullmatch(r"image_(\d+)\.nii\.gz", file.name))
        ]
        if not found:
            raise InputError(f"{folder}: holds no image_ID.nii.gz")
        return cls(folder, sorted(found))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> LabelledVolume:
        number = self.numbers[index]
        image = read_volume(self.folder / f"image_{number}.nii.gz")
        labels, _ = read_label_volume(self.folder / f"label_{number}.nii.gz", image)
        return LabelledVolume(image, labels.voxels)

    @cached_property
    def folds(self) -> list[list[int]]:
        """Numbers of the scans of five folds, in ascending order."""
        return [part.tolist() for part in np.array_split(self.numbers, 5)]


class Fold:
    """A scan, and the task of labelled scans of the other folds, drawn at random.

    Args:
        scans: all scans.
        number: of the fold; its first scan is segmented.
        support: number of labelled scans.
        step: distance of the slices that are segmented.
    """

    def __init__(self, scans: Scans, number: int, segmenter: Segmenter, *, support: int, step: int):
        others = [scan for other in scans.folds if other is not scans.folds[number] for scan in other]
        self.drawn = np.random.default_rng(number).choice(others, support, replace=False).tolist()
        labelled = Scans(scans.folder, self.drawn)
        self.task = fit_volumes(segmenter, labelled, axis="axial", choice=BASE, modality="MR")
        self.scan = scans.folds[number][0]
        target = Scans(scans.folder, [self.scan])[0]
        thinned = np.array(target.image.affine)
        thinned[:, 2] *= step
        self.truth = target.labels[..., step // 2 :: step]
        self.volume = Volume(target.image.name, target.image.voxels[..., step // 2 :: step], thinned, "MR")

    def measure(self, choice: SliceChoice) -> dict:
        """Segment the scan; the Dice of each organ."""
        self.task.pools[0].choice = choice
        began = time.perf_counter()
        mask = self.task.segment(self.volume).mask
        seconds = round(time.perf_counter() - began, 1)
        dices = {name: round(float(dice(mask == v, self.truth == v)), 4) for v, name in ORGANS.items()}
        return {"target": self.scan, "drawn": self.drawn, "slices": mask.shape[2], "seconds": seconds, **dices}


def table(records: list[dict], about: dict) -> str:
    """The page of the results."""
    scans = len({record["target"] for record in records})
    lines = [
        "# Choice of labelled slices for volumes",
        "",
        f"`{about['command']}`; weights {about['weights']}; {about['support']} labelled scans, every {about['step']}th "
        f"slice of {scans} scans; 16 labelled slices shown, unless the row says otherwise. Written by "
        "`python -m experiments.volumes`.",
        "",
        "Abdominal MR of CHAOS (T2-SPIR): Kavur et al., Medical Image Analysis 2021, doi:10.5281/zenodo.3362844, "
        "CC BY-NC-SA 4.0. No voxel of it lies here.",
        "",
        "Dice of each organ, mean over the scans. The last two columns compare the mean over the organs with the first "
        "row on the same scans: the mean difference, and the scans that are better or worse by 0.01.",
        "",
        "| labelled slices shown | " + " | ".join(ORGANS.values()) + " | mean | scans | difference | better, worse |",
        "|---" * (len(ORGANS) + 5) + "|",
    ]
    means = {(r["choice"], r["target"]): fmean(r[organ] for organ in ORGANS.values()) for r in records}
    first = next(iter(CHOICES))
    for name in CHOICES:
        of = [record for record in records if record["choice"] == name]
        if of:
            own = [fmean(record[organ] for record in of) for organ in ORGANS.values()]
            cells = " | ".join(f"{value:.3f}" for value in [*own, fmean(own)])
            gains = [means[name, r["target"]] - means[first, r["target"]] for r in of if (first, r["target"]) in means]
            better, worse = sum(gain > 0.01 for gain in gains), sum(gain < -0.01 for gain in gains)
            difference = f"{fmean(gains):+.3f} | {better}, {worse}" if gains and name != first else " | "
            lines.append(f"| {name} | {cells} | {len(of)} | {difference} |")
    versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
    return "\n".join([*lines, "", f"{versions}; {about['platform']}.", ""])


def main() -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, metavar="SCANS")
    parser.add_argument("out", type=Path, metavar="OUT")
    add_weights(parser)
    parser.add_argument("--support", type=int, default=3, metavar="N", help="labelled scans (default: %(default)s)")
    parser.add_argument("--step", type=int, default=6, metavar="N", help="every Nth slice (default: %(default)s)")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(5)), metavar="K", help="(default: all)")
    arguments = parser.parse_args()
    options = {"support": arguments.support, "step": arguments.step}
    scans, segmenter = Scans.of(arguments.scans), Segmenter(arguments.weights)
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "records.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    about = {"weights": arguments.weights, **options, **environment()}
    about["command"] = f"python -m experiments.volumes SCANS OUT --support {arguments.support} --step {arguments.step}"
    for number in arguments.folds:  # a run that is stopped has measured all choices on the same scans
        fold = None
        for name, choice in CHOICES.items():
            key = {"choice": name, "fold": number, "weights": arguments.weights, **options, "options": asdict(choice)}
            if any(key.items() <= record.items() for record in records):
                continue
            fold = fold or Fold(scans, number, segmenter, **options)
            records.append({**key, **fold.measure(choice)})
            with file.open("a") as stream:
                stream.write(json.dumps(records[-1]) + "\n")
            print(records[-1], flush=True)
            (arguments.out / "choices.md").write_text(table(records, about), encoding="utf-8")


if __name__ == "__main__":
    main()
