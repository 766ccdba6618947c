"""What is recorded of a dataset: dataset.json for people, index.npz for sampling."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from universeg_jax.tasks.preprocess import CT_WINDOW, MR_PERCENTILES
from universeg_jax.tasks.source import Item, Source
from universeg_jax.tasks.splits import SPLITS
from universeg_jax.tasks.staging import RESOLUTIONS, Outcome
from universeg_jax.tasks.task import tasks_of


def index_images(images: Sequence[dict], splits: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Columns over all stored images, in their order; what `tasks_of` takes."""
    rows = []
    for image in images:
        subject = image["subject"].decode()
        area = image["labels"].mean((0, 1), dtype=np.float64) / 255
        rows.append(
            (subject, splits[subject], image["modality"].decode(), image["axis"].decode(), area, image["shown"])
        )
    names = ("subject", "split", "modality", "axis", "area", "shown")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def describe(
    source: Source,
    outcomes: Mapping[Item, Outcome],
    classes: Sequence[str],
    index: Mapping[str, np.ndarray],
    splits: Mapping[str, str],
) -> dict:
    """The contents of dataset.json."""
    left_out = {item.name: _without_folder(o.problem, source) for item, o in outcomes.items() if o.problem}
    tasks = tasks_of(source.name, list(classes), index)
    return {
        "name": source.name,
        "kind": source.kind,
        "origin": source.origin or "unknown",
        "version": source.version or "unknown",
        "licence": source.licence or "unknown",
        "classes": list(classes),
        "resolutions": list(RESOLUTIONS),
        "split": {
            "method": f"60/20/20 by {'subject' if source.subjects_known else 'scan'}",
            "subjects": _count(splits.values(), SPLITS),
            "images": _count(index["split"].tolist(), SPLITS),
        },
        "images": {
            f"{modality}/{axis}": number
            for (modality, axis), number in sorted(
                Counter(zip(index["modality"].tolist(), index["axis"].tolist(), strict=True)).items()
            )
        },
        "tasks": {
            task.name: _count([e.split for e in examples if e.area > 0], SPLITS)
            for task, examples in sorted(tasks.items(), key=lambda entry: entry[0].name)
        },
        "scans": {"found": len(outcomes), "used": len(outcomes) - len(left_out)},
        "left_out": left_out,
        "warnings": _warnings(source, outcomes),
        "preprocessing": {
            "ct_window": CT_WINDOW,
            "mr_percentiles": MR_PERCENTILES,
            "spacing_mm": 1,
            "blur": "sigma = 0.25 * old / new size",
            "slices": "middle, and largest area of each class, along each axis",
            "universeg_jax": _version(),
        },
    }


def _warnings(source: Source, outcomes: Mapping[Item, Outcome]) -> list[str]:
    warnings = []
    if source.one_class:
        warnings.append(f"its classes are joined to one, {source.one_class}")
    if not source.subjects_known:
        warnings.append(
            "subjects are unknown: split by scan (an image or volume), so one subject may be in several splits"
        )
    for unknown in ("origin", "version", "licence"):
        if not getattr(source, unknown):
            warnings.append(f"its {unknown} is unknown")
    said = Counter(_without_folder(warning, source) for outcome in outcomes.values() for warning in outcome.warnings)
    return warnings + [text if times == 1 else f"{text} ({times} times)" for text, times in said.items()]


def _without_folder(text: str, source: Source) -> str:
    """Messages name files; a corpus that is passed on should not name the folders of its maker."""
    return text.replace(f"{source.folder}/", "")


def _count(values, names: Sequence[str]) -> dict[str, int]:
    counted = Counter(values)
    return {name: counted[name] for name in names}


def _version() -> str:
    try:
        return version("universeg-jax")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
