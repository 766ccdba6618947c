"""Measure the mean over axes and smoothing: `python -m experiments.volume_options SUPPORT SCANS LABELS OUT`.

The folders are those of `universeg-jax predict` for volumes. Each scan is segmented along each axis. The probabilities
are smoothed across slices by Gaussians. Each axis alone, and their mean, are scored in 3-D.

A run that was stopped resumes: OUT/NAME holds probabilities, and OUT/NAME.jsonl scores. OUT/NAME.md is the table.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy.ndimage import gaussian_filter1d

from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.volume_files import read_label_volume, read_volume
from universeg_jax.io.volume_folder import VolumeFile, find_volumes, open_volume_folder
from universeg_jax.io.volumes import AXES
from universeg_jax.segment.labels import winners
from universeg_jax.segment.planes import Planes
from universeg_jax.segment.report import environment
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.volume import fit_volumes
from universeg_jax.segment.volume_task import VolumeTask
from universeg_jax.util.files import whole_file

SIGMAS = (0.0, 0.5, 0.8, 1.2)  # of the Gaussian, in slices


def measure(
    tasks: dict[str, VolumeTask], target: VolumeFile, names: dict[int, str], kept: Path
) -> dict[str, dict[str, float]]:
    """Return the 3-D Dice of each structure by each way of segmenting one scan; keep probabilities in a folder."""
    volume = read_volume(target.image)
    truth = read_label_volume(target.mask, volume)[0].voxels
    maps: dict[str, np.ndarray] = {}
    for axis, task in tasks.items():
        maps[axis] = np.zeros((*volume.shape, len(names)), np.float32)
        file = kept / f"{target.name}_{axis}.npy"
        if file.exists():
            maps[axis][:] = np.load(file)
            continue
        planes = Planes.of(volume, axis).view(maps[axis])
        for i, probability in task.pools[0].probabilities(volume, task.modality):
            planes[i] = probability
        with whole_file(file) as unfinished, unfinished.open("wb") as stream:
            np.save(stream, maps[axis])
    found = {}
    for sigma in SIGMAS:
        smooth = {}
        for axis, own in maps.items():
            across = int(np.argmax(volume.orientation[:, 0] == AXES.index(axis)))
            smooth[axis] = gaussian_filter1d(own, sigma, axis=across) if sigma else own
        if len(maps) > 1:
            smooth["all"] = np.mean(list(smooth.values()), axis=0)
        for axis, own in smooth.items():
            best = winners(own)
            scores = {name: float(dice(best == k, truth == v)) for k, (v, name) in enumerate(names.items(), 1)}
            found[f"{axis}, smoothed by {sigma:g} slices" if sigma else axis] = scores
    return found


def table(records: list[dict], about: dict) -> str:
    """Return the page of the results."""
    ways, names = list(records[0]["dice"]), list(next(iter(records[0]["dice"].values())))
    lines = [
        f"# {about['title']}",
        "",
        f"`{about['command']}`; {len(records)} scans, mean 3-D Dice. The last columns count scans that are better or "
        "worse than the first row by more than 0.0005.",
        "",
        "| axis | " + " | ".join(names) + " | mean | better | worse |",
        "|---" * (len(names) + 4) + "|",
    ]
    first = [fmean(record["dice"][ways[0]].values()) for record in records]
    for way in ways:
        own = [fmean(record["dice"][way].values()) for record in records]
        cells = " | ".join(f"{fmean(record['dice'][way][name] for record in records):.3f}" for name in names)
        better, worse = (sum(sign * (a - b) > 5e-4 for a, b in zip(own, first, strict=True)) for sign in (1, -1))
        lines.append(f"| {way} | {cells} | {fmean(own):.3f} | {better} | {worse} |")
    versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
    return "\n".join([*lines, "", f"{versions}; {about['platform']}.", ""])


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("support", "scans", "labels", "out"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    parser.add_argument("--name", default="options", help="of the files in OUT (default: %(default)s)")
    parser.add_argument("--title", default="Axes and smoothing", help="of the page (default: %(default)s)")
    parser.add_argument("--model", default="auto", help="auto, or weights (default: %(default)s)")
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES), metavar="AXIS", help="(default: all)")
    parser.add_argument("--support-size", type=int, default=32, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--modality", default="", help="of all volumes (default: as their files say)")
    arguments = parser.parse_args()
    support = open_volume_folder(arguments.support)
    targets = find_volumes(arguments.scans, arguments.labels)
    kept = arguments.out / arguments.name
    kept.mkdir(parents=True, exist_ok=True)
    file = arguments.out / f"{arguments.name}.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    axes = " ".join(arguments.axes)
    about = {"title": arguments.title, **environment()}
    about["command"] = (
        f"python -m experiments.volume_options SUPPORT SCANS LABELS OUT --model {arguments.model} --axes {axes} "
        f"--support-size {arguments.support_size}"
    )
    tasks: dict[str, VolumeTask] = {}
    for target in targets:
        if any(record["scan"] == target.name for record in records):
            continue
        if not tasks:
            segmenter, choice = Segmenter(arguments.model), SliceChoice(size=arguments.support_size)
            options = {"choice": choice, "modality": arguments.modality}
            tasks = {axis: fit_volumes(segmenter, support, axis=axis, **options) for axis in arguments.axes}
            print({axis: task.choice and task.choice.name for axis, task in tasks.items()}, flush=True)
        values = next(iter(tasks.values())).values[1:].tolist()
        names = {value: support.class_names.get(value, str(value)) for value in values}
        records.append({"scan": target.name, "dice": measure(tasks, target, names, kept)})
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(records[-1]) + "\n")
        page = table(records, about)
        (arguments.out / f"{arguments.name}.md").write_text(page, encoding="utf-8")
        print(page, flush=True)


if __name__ == "__main__":
    main()
