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

from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.volume_files import read_label_volume, read_volume
from universeg_jax.io.volume_folder import LabelledVolume
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.report import environment
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.volume import fit_volumes
from universeg_jax.weights import shipped

ORGANS = {1: "liver", 2: "right kidney", 3: "left kidney", 4: "spleen"}
BASE = SliceChoice(size=16, share=0.0)
CHOICES = {
    "position and similarity, 16 slices": BASE,
    "random, 16 slices": replace(BASE, by="random"),
    "similarity, 16 slices": replace(BASE, by="similarity"),
    "position, 16 slices": replace(BASE, by="position"),
    "position and similarity, 16 slices, no empty slices": replace(BASE, negatives=False),
    "position and similarity, 32 slices": replace(BASE, size=32),
    "position and similarity, 8 slices": replace(BASE, size=8),
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


def measure(scans: Scans, fold: int, choice: SliceChoice, segmenter: Segmenter, *, support: int, step: int) -> dict:
    """Segment every `step`-th slice of the first scan of a fold; the Dice of each organ."""
    others = [number for other in scans.folds if other is not scans.folds[fold] for number in other]
    drawn = np.random.default_rng(fold).choice(others, support, replace=False).tolist()
    task = fit_volumes(segmenter, Scans(scans.folder, drawn), axis="axial", choice=choice, modality="MR")
    target = Scans(scans.folder, scans.folds[fold])[0]
    thinned = np.array(target.image.affine)
    thinned[:, 2] *= step
    began = time.perf_counter()
    volume = Volume(target.image.name, target.image.voxels[..., step // 2 :: step], thinned, "MR")
    mask = task.segment(volume).mask
    truth = target.labels[..., step // 2 :: step]
    dices = {name: round(float(dice(mask == value, truth == value)), 4) for value, name in ORGANS.items()}
    seconds = round(time.perf_counter() - began, 1)
    return {"target": scans.folds[fold][0], "drawn": drawn, "slices": mask.shape[2], "seconds": seconds, **dices}


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
    parser.add_argument("--weights", default=shipped.DEFAULT, help="(default: %(default)s)")
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
    for fold in arguments.folds:  # a run that is stopped has measured all choices on the same scans
        for name, choice in CHOICES.items():
            key = {"choice": name, "fold": fold, "weights": arguments.weights, **options}
            if any(key.items() <= record.items() for record in records):
                continue
            found = measure(scans, fold, choice, segmenter, **options)
            records.append({**key, **found, "options": asdict(choice)})
            with file.open("a") as stream:
                stream.write(json.dumps(records[-1]) + "\n")
            print(records[-1], flush=True)
            (arguments.out / "README.md").write_text(table(records, about), encoding="utf-8")


if __name__ == "__main__":
    main()
