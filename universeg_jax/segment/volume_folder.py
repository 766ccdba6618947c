"""Segment a folder of volumes into mask files, scan by scan, and show slices of the results."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice, surface_scores
from universeg_jax.io.dicom_masks import write_segmentation
from universeg_jax.io.dicom_series import Series, series_files
from universeg_jax.io.sheet import SUPPORT_SHOWN, Result, Section, ShownExample
from universeg_jax.io.volume_files import output_ending, read_label_volume, read_volume, write_label_volume
from universeg_jax.io.volume_folder import VolumeFile, VolumeFolder, find_volumes, open_volume_folder
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.folder import evenly
from universeg_jax.segment.planes import Planes, square_slice
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.volume import fit_volumes
from universeg_jax.segment.volume_task import VolumeTask
from universeg_jax.util.files import content_digest, temporary_folder
from universeg_jax.util.json_files import read_json, write_json

SCANS_SHOWN = 8


@dataclass(frozen=True)
class StructureRecord:
    """One structure in one scan.

    Attributes:
        value: class value in the mask.
        voxels, millilitres: its size.
        dice, surface_dice, hausdorff95: agreement with the true mask, in millimetres; None without a true mask. Surface
            Dice allows 1 mm.
    """

    value: int
    voxels: int
    millilitres: float
    dice: float | None = None
    surface_dice: float | None = None
    hausdorff95: float | None = None


@dataclass(frozen=True)
class ScanRecord:
    """One segmented scan.

    Attributes:
        name: its name without ending.
        image: its file or folder.
        version: digest that changes when the content of `image` changes.
        mask: the file that was written, relative to the output folder.
        shape: voxels along the axes.
        spacing: millimetres per voxel.
        structures: a record for each structure, by name.
        slices: slices that were segmented.
        seconds: time for all.
        predicted_dice: Dice to expect without knowing the truth; None without a forecast.
    """

    name: str
    image: str
    version: str
    mask: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    structures: dict[str, StructureRecord]
    slices: int
    seconds: float
    predicted_dice: float | None = None


@dataclass(frozen=True)
class Progress:
    """The scans that an earlier run of the same command finished.

    Attributes:
        file: report.json of the output folder.
        about: command, settings and inputs. A folder with other settings is not resumed.
        records: finished scans by name.
    """

    file: Path
    about: dict
    records: dict[str, dict] = field(default_factory=dict)

    @classmethod
    def of(cls, out: Path, about: dict, *, overwrite: bool) -> "Progress":
        """Open the report of an output folder.

        Raises:
            InputError: results of other settings, without `overwrite`.
        """
        file = out / "report.json"
        if overwrite or not file.exists():
            return cls(file, about)
        before = read_json(file)
        unlike = [key for key in ("settings", "support") if before.get(key) != about[key]]
        if unlike:
            raise InputError(
                f"{out}: already holds results of other {' and '.join(unlike)}; pass --overwrite to replace them, or "
                "another --out"
            )
        records = {record["name"]: record for record in before.get("scans", [])}
        return cls(file, about, {name: one for name, one in records.items() if (out / one["mask"]).exists()})

    def holds(self, target: VolumeFile) -> bool:
        """Tell whether a scan is finished, and has not changed since."""
        record = self.records.get(target.name)
        return record is not None and record.get("version") == content_digest(target.image)

    def add(self, record: ScanRecord) -> None:
        """Record a finished scan."""
        self.records[record.name] = asdict(record)
        self.write()

    @property
    def scans(self) -> list[ScanRecord]:
        """Records of finished scans."""
        known = [field.name for field in fields(ScanRecord)]
        return [ScanRecord(**{name: one[name] for name in known if name in one}) for one in self.records.values()]

    def write(self, **more) -> None:
        """Write report.json."""
        write_json(self.file, {**self.about, **more, "scans": list(self.records.values())})


def mask_file(target: VolumeFile, *, dicom_seg: bool) -> str:
    """Return the path of the mask of a scan, relative to the output folder."""
    return f"masks/{target.name}{'.dcm' if dicom_seg else output_ending(target.image)}"


def predict_volumes(
    task: VolumeTask,
    names: Mapping[int, str],
    targets: Sequence[VolumeFile],
    out: Path,
    progress: Progress,
    *,
    channel: int | None = None,
    dicom_seg: bool = False,
    show: bool = True,
) -> None:
    """Segment scans and write OUT/masks/NAME with the geometry of each. Finished scans are skipped.

    Args:
        task: how to segment.
        names: names of the structures by class value, without the background.
        targets: the scans.
        out: the output folder.
        progress: its report.
        channel: index of the channel to read, if scans have several.
        dicom_seg: write DICOM SEG for DICOM series.
        show: show a progress bar for each scan.

    Raises:
        InputError: for a scan that cannot be used; masks written before stay.
    """
    (out / "masks").mkdir(parents=True, exist_ok=True)
    todo = [target for target in targets if not progress.holds(target)]
    for number, target in enumerate(todo, 1):
        version = content_digest(target.image)  # before it is read: it may change meanwhile
        volume = read_volume(target.image, channel=channel)
        with tqdm(
            total=task.slices(volume),
            desc=f"{target.name} ({number} of {len(todo)})",
            unit="slice",
            disable=not show,
            leave=False,
        ) as bar:
            began = time.perf_counter()
            found = task.segment(volume, bar.update)
            seconds = time.perf_counter() - began
        mask, file = found.mask, mask_file(target, dicom_seg=dicom_seg)
        with temporary_folder(out) as folder:
            unfinished = folder / Path(file).name
            if dicom_seg:
                write_segmentation(unfinished, mask, Series(series_files(target.image)), names)
            else:
                write_label_volume(unfinished, mask, volume)
            unfinished.replace(out / file)
        truth = None if target.mask is None else read_label_volume(target.mask, volume)[0].voxels
        record = _record(target, version, file, volume, mask, truth, names, task.slices(volume), seconds)
        predicted = None if found.predicted_dice is None else round(found.predicted_dice, 4)
        progress.add(replace(record, predicted_dice=predicted))


def support_examples(support: VolumeFolder, axis: str) -> list[ShownExample]:
    """Show the slice with the largest labelled area of each labelled volume."""
    examples = []
    for i in evenly(len(support), SUPPORT_SHOWN):
        labelled = support[i]
        k = _largest(Planes.of(labelled.image, axis).view(labelled.labels))
        image, mask = square_slice(labelled.image, labelled.labels, axis, k)
        examples.append(ShownExample(f"{support.files[i].name}, {k}", image, mask))
    return examples


def scan_results(
    targets: Sequence[VolumeFile], out: Path, progress: Progress, axis: str, *, channel: int | None = None
) -> list[Result]:
    """Show three slices of each scan: the one with the largest area of the mask, the middle one, and one between."""
    results = []
    for target in (targets[i] for i in evenly(len(targets), SCANS_SHOWN)):
        volume = read_volume(target.image, channel=channel)
        mask = read_label_volume(out / progress.records[target.name]["mask"], volume)[0].voxels
        truth = None if target.mask is None else read_label_volume(target.mask, volume)[0].voxels
        view = Planes.of(volume, axis).view(mask)
        largest, middle = _largest(view), len(view) // 2
        for k in sorted({largest, middle, (largest + middle) // 2}):
            image, own = square_slice(volume, mask, axis, k)
            known = None if truth is None else square_slice(volume, truth, axis, k)[1]
            results.append(Result(f"{target.name}, slice {k} of {len(view)}", image, own, known))
    return results


class DemoVolumes:
    """The shipped task of volumes, as `universeg-jax demo` segments it.

    Args:
        about: its entry in examples.json.
        examples: the folder of the shipped examples.
    """

    SLICES = 8  # shown at once: few, so that the demo takes a minute

    def __init__(self, about: dict, examples: Path):
        place = examples / about["folder"]
        self.about, self.title = about, f"{about['title']}: {about['dataset']}"
        self._support = open_volume_folder(place / "support")
        self._targets = find_volumes(place / "targets", place / "labels")

    def output_files(self) -> list[str]:
        """Return the paths of all files that `run` writes."""
        files = [mask_file(target, dicom_seg=False) for target in self._targets]
        return [f"{self.about['folder']}/{file}" for file in [*files, "report.json"]]

    def run(self, segmenter: Segmenter, out: Path, title: str, *, show: bool) -> tuple[Section, list[dict], str]:
        """Segment the scans into a folder of `out`. Return a section of the overview, records and a table."""
        task = fit_volumes(segmenter, self._support, axis="axial", choice=SliceChoice(size=self.SLICES))
        names = {int(value): self._support.class_names[int(value)] for value in task.values[1:]}
        place = out / self.about["folder"]
        progress = Progress(place / "report.json", {"title": title})
        predict_volumes(task, names, self._targets, place, progress, show=show)
        dices = [one["dice"] for record in progress.records.values() for one in record["structures"].values()]
        note = f"{len(self._support)} labelled volumes, above, each with the number of its slice; "
        note += f"{len(self._targets)} scans, axial slices below; mean 3-D Dice {np.mean(dices):.3f}"
        examples = support_examples(self._support, "axial")
        results = scan_results(self._targets, place, progress, "axial")
        return Section(title, note, names, examples, results), list(progress.records.values()), volume_table(progress)


def volume_table(progress: Progress) -> str:
    """Format Dice of each scan and structure as text."""
    names = list(dict.fromkeys(name for record in progress.records.values() for name in record["structures"]))
    first = max(4, *(len(name) for name in progress.records))
    lines = ["  ".join([f"{'Dice':<{first}}", *(f"{name:>8}" for name in names)])]
    for scan, record in progress.records.items():
        cells = [f"{record['structures'][name]['dice']:>{max(8, len(name))}.3f}" for name in names]
        lines.append("  ".join([f"{scan:<{first}}", *cells]))
    means = [np.mean([record["structures"][name]["dice"] for record in progress.records.values()]) for name in names]
    cells = [f"{mean:>{max(8, len(name))}.3f}" for mean, name in zip(means, names, strict=True)]
    return "\n".join([*lines, "-" * len(lines[0]), "  ".join([f"{'mean':<{first}}", *cells])])


def _record(
    target: VolumeFile,
    version: str,
    file: str,
    volume: Volume,
    mask: np.ndarray,
    truth: np.ndarray | None,
    names: Mapping[int, str],
    slices: int,
    seconds: float,
) -> ScanRecord:
    voxel = abs(np.linalg.det(volume.affine[:3, :3])) / 1000
    structures = {}
    for value, name in names.items():
        found = mask == value
        number, scores = int(found.sum()), {}
        if truth is not None:
            surface, distance = surface_scores(found, truth == value, tolerance=1.0, spacing=volume.spacing)
            scores = {"dice": dice(found, truth == value), "surface_dice": surface, "hausdorff95": distance}
        rounded = {key: round(score, 4) for key, score in scores.items()}
        structures[name] = StructureRecord(value, number, round(number * voxel, 3), **rounded)
    x, y, z = (round(s, 6) for s in volume.spacing)
    return ScanRecord(
        target.name, str(target.image), version, file, volume.shape, (x, y, z), structures, slices, round(seconds, 2)
    )


def _largest(labels: np.ndarray) -> int:
    """Return the number of the slice with the largest labelled area; the middle one if nothing is labelled."""
    areas = [np.count_nonzero(plane) for plane in labels]
    return int(np.argmax(areas)) if any(areas) else len(labels) // 2
