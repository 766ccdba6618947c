"""Measure networks, axes and smoothing on volumes: `python -m experiments.volume_options SUPPORT SCANS LABELS OUT`.

The folders hold volumes as `universeg-jax predict` takes them. UniverSeg and ProtoSAM without its decoder segment each
scan along each axis. The experiment scores weighted means of both networks, each axis alone, and the mean over axes.
Probabilities are smoothed across slices by Gaussians before the mean over axes, as `predict` does.

A run that was stopped resumes: OUT/NAME holds probabilities, and OUT/NAME.jsonl scores. OUT/NAME.md is the table.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np

from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.volume_files import read_label_volume, read_volume
from universeg_jax.io.volume_folder import VolumeFile, find_volumes, open_volume_folder
from universeg_jax.io.volumes import AXES, Volume
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.segment.labels import winners
from universeg_jax.segment.planes import Planes
from universeg_jax.segment.postprocess import smoothed
from universeg_jax.segment.report import environment
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.volume import fit_volumes
from universeg_jax.segment.volume_task import VolumeTask
from universeg_jax.util.files import whole_file
from universeg_jax.weights import load
from universeg_jax.weights.loading import protosam

SIGMAS = (0.0, 0.5, 0.8, 1.2)  # deviations of the Gaussian, in slices
NETWORKS = {"UniverSeg": lambda: load("open-v4"), "ProtoSAM": lambda: protosam(config=ProtoSAMConfig.coarse())}


def segment(task: Callable[[], VolumeTask], axis: str, volume: Volume, classes: int, file: Path) -> np.ndarray:
    """Return the probabilities (X,Y,Z,P) of a volume, from a file if it was segmented before."""
    if not file.exists():
        maps: np.ndarray = np.zeros((*volume.shape, classes), np.float16)
        planes, made = Planes.of(volume, axis).view(maps), task()
        for i, probability in made.pools[0].probabilities(volume, made.modality):
            planes[i] = probability
        with whole_file(file) as unfinished, unfinished.open("wb") as stream:
            np.save(stream, maps)
    return np.load(file).astype(np.float32)


def across_slices(maps: np.ndarray, axis: str, volume: Volume, sigma: float) -> np.ndarray:
    """Smooth probabilities (X,Y,Z,P) across the slices that were segmented."""
    found, planes = np.zeros_like(maps), Planes.of(volume, axis)
    given, images, result = planes.view(maps), planes.view(volume.voxels), planes.view(found)
    slices = ((i, given[i]) for i, image in enumerate(images) if image.min() < image.max())
    for i, probability in smoothed(slices, sigma):
        result[i] = probability
    return found


def measure(
    maps: dict[tuple[str, str], np.ndarray], target: VolumeFile, names: dict[int, str], shares: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Return the 3-D Dice of each structure by each way of segmenting one scan.

    Args:
        maps: probabilities (X,Y,Z,P) by network and axis.
        target: the scan and its true mask.
        names: names of the structures, by class value.
        shares: weights of ProtoSAM.
    """
    volume = read_volume(target.image)
    truth = read_label_volume(target.mask, volume)[0].voxels
    axes = list(dict.fromkeys(axis for _, axis in maps))
    found = {}
    for share in shares:
        weights = {"UniverSeg": 1 - share, "ProtoSAM": share}
        used = {name: weight for name, weight in weights.items() if weight}
        network = " and ".join(f"{weight:.3g} {name}" if share % 1 else name for name, weight in used.items())
        blended = {axis: sum(weight * maps[name, axis] for name, weight in used.items()) for axis in axes}
        for sigma in SIGMAS:
            ways = {axis: across_slices(own, axis, volume, sigma) for axis, own in blended.items()}
            if len(axes) > 1:
                ways["mean over axes"] = np.mean(list(ways.values()), axis=0)
            for axis, own in ways.items():
                best = winners(own)
                scores = {name: float(dice(best == k, truth == v)) for k, (v, name) in enumerate(names.items(), 1)}
                found[f"{network} | {axis} | {sigma:g}"] = scores
    return found


def table(records: list[dict], about: dict) -> str:
    """Return the page of the results."""
    ways, names = list(records[0]["dice"]), list(next(iter(records[0]["dice"].values())))
    lines = [
        f"# {about['title']}",
        "",
        f"`{about['command']}`; 3-D Dice, mean over {len(records)} scans. Smoothing is in slices. The last columns "
        "count scans that are better or worse than the first row by more than 0.0005.",
        "",
        "| networks | axis | smoothing | " + " | ".join(names) + " | mean | better | worse |",
        "|---" * (len(names) + 6) + "|",
    ]
    first = [fmean(record["dice"][ways[0]].values()) for record in records]
    for way in ways:
        own = [fmean(record["dice"][way].values()) for record in records]
        cells = " | ".join(f"{fmean(record['dice'][way][name] for record in records):.3f}" for name in names)
        better, worse = (sum(sign * (a - b) > 5e-4 for a, b in zip(own, first, strict=True)) for sign in (1, -1))
        lines.append(f"| {way} | {cells} | {fmean(own):.3f} | {better} | {worse} |")
    scans = ", ".join(record["scan"] for record in records)
    versions = ", ".join(f"{package} {number}" for package, number in about["versions"].items())
    return "\n".join([*lines, "", f"Scans: {scans}. {versions}; {about['platform']}.", ""])


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("support", "scans", "labels", "out"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    parser.add_argument("--name", default="options", help="of the files in OUT (default: %(default)s)")
    parser.add_argument("--title", default="Networks, axes and smoothing", help="of the page (default: %(default)s)")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0], metavar="SHARE", help="weights of ProtoSAM")
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES), metavar="AXIS", help="(default: all)")
    parser.add_argument("--support-size", type=int, default=32, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--modality", default="", help="of all volumes (default: as their files say)")
    arguments = parser.parse_args()
    support = open_volume_folder(arguments.support)
    kept = arguments.out / arguments.name
    kept.mkdir(parents=True, exist_ok=True)
    file = arguments.out / f"{arguments.name}.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    shares, axes = (" ".join(map(str, given)) for given in (arguments.shares, arguments.axes))
    about = {"title": arguments.title, **environment()}
    about["command"] = (
        f"python -m experiments.volume_options SUPPORT SCANS LABELS OUT --name {arguments.name} --shares {shares} "
        f"--axes {axes} --support-size {arguments.support_size}"
    )
    names = {value: name for value, name in sorted(support.class_names.items()) if value}
    tasks: dict[tuple[str, str], VolumeTask] = {}

    def task(network: str, axis: str) -> VolumeTask:
        if (network, axis) not in tasks:
            options = {"choice": SliceChoice(size=arguments.support_size), "modality": arguments.modality}
            tasks[network, axis] = fit_volumes(Segmenter(NETWORKS[network]()), support, axis=axis, **options)
        return tasks[network, axis]

    needed = {"UniverSeg": min(arguments.shares) < 1, "ProtoSAM": max(arguments.shares) > 0}
    networks = [name for name in NETWORKS if needed[name]]
    for target in find_volumes(arguments.scans, arguments.labels):
        if any(record["scan"] == target.name for record in records):
            continue
        volume, maps = read_volume(target.image), {}
        for network in networks:
            for axis in arguments.axes:
                place = kept / f"{target.name}_{network}_{axis}.npy"
                maps[network, axis] = segment(partial(task, network, axis), axis, volume, len(names), place)
        records.append({"scan": target.name, "dice": measure(maps, target, names, arguments.shares)})
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(records[-1]) + "\n")
        page = table(records, about)
        (arguments.out / f"{arguments.name}.md").write_text(page, encoding="utf-8")
        print(page, flush=True)


if __name__ == "__main__":
    main()
