"""Measure the choice of labelled slices for volumes on real scans: `python -m experiments.volumes SCANS OUT`.

SCANS holds image_ID.nii.gz and label_ID.nii.gz, as the abdominal MR of CHAOS in the layout of Q-Net
(doi:10.5281/zenodo.3362844, CC BY-NC-SA 4.0). The scans, sorted by number, are divided into five folds. The first scan
of each fold is segmented from labelled scans of the other folds, drawn at random. Only every `--step`-th slice is
segmented; the Dice of each organ is taken over these slices together.

A run that was stopped resumes: OUT/records.jsonl holds what was measured. OUT/README.md is the table.
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
BASE = SliceChoice(size=16, by="both", varied=0.0, share=0.0, negatives=1.0)
CHOICES = {
    "nearest": BASE,
    "random": replace(BASE, by="random"),
    "half nearest, half by structure": replace(BASE, varied=0.5),
    "half nearest, half by structure, at most half empty": replace(BASE, varied=0.5, negatives=0.5),
    "half nearest, half spread": replace(BASE, varied=0.5, variety="spread"),
    "nearest by position": replace(BASE, by="position"),
    "nearest by similarity": replace(BASE, by="similarity"),
    "random, at most half empty": replace(BASE, by="random", negatives=0.5),
    "half nearest, half by structure, none empty": replace(BASE, varied=0.5, negatives=0.0),
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
    lines = [
        "# Choice of labelled slices for volumes",
        "",
        f"`{about['command']}`; weights {about['weights']}; {about['support']} labelled scans, every {about['step']}th "
        f"slice of {len({r['target'] for r in records})} scans. Written by `python -m experiments.volumes`.",
        "",
        "Abdominal MR of CHAOS (T2-SPIR): Kavur et al., Medical Image Analysis 2021, doi:10.5281/zenodo.3362844, "
        "CC BY-NC-SA 4.0. No voxel of it lies here.",
        "",
        "| labelled slices shown | " + " | ".join(ORGANS.values()) + " | mean | scans |",
        "|---" * (len(ORGANS) + 3) + "|",
    ]
    whole = [fold for fold in range(5) if len([r for r in records if r["fold"] == fold]) == len(CHOICES)]
    for name in CHOICES:
        of = [record for record in records if record["choice"] == name and record["fold"] in whole]
        if of:
            means = [fmean(record[organ] for record in of) for organ in ORGANS.values()]
            cells = " | ".join(f"{value:.3f}" for value in [*means, fmean(means)])
            lines.append(f"| {name} | {cells} | {len(of)} |")
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
            (arguments.out / "README.md").write_text(table(records, about), encoding="utf-8")


if __name__ == "__main__":
    main()
