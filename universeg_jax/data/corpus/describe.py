"""Describe a prepared dataset: dataset.json for people, index.npz for sampling, and a contact sheet."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from universeg_jax.data.corpus.read import Corpus, CorpusTask, Example, tasks_of
from universeg_jax.data.corpus.select import SPLITS
from universeg_jax.data.corpus.store import RESOLUTIONS, Outcome
from universeg_jax.data.readers.source import Item, Source
from universeg_jax.segment.planes import CT_WINDOW, PERCENTILES


def index_images(images: Iterable[dict], splits: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return columns over all stored images, in their order, as `tasks_of` takes them."""
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
    """Return the contents of dataset.json."""
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
            "method": _method(source),
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
            "mr_percentiles": PERCENTILES,
            "spacing_mm": 1,
            "blur": "sigma = 0.25 * old / new size",
            "slices": "middle, and largest area of each class, along each axis",
            "universeg_jax": _version(),
        },
    }


def _method(source: Source) -> str:
    unit = "subject" if source.subjects_known else "scan"
    return f"as published, by {unit}" if any(item.split for item in source.items) else f"60/20/20 by {unit}"


def _warnings(source: Source, outcomes: Mapping[Item, Outcome]) -> list[str]:
    warnings = []
    if source.one_class:
        warnings.append(f"its classes are joined to one, {source.one_class}")
    if not source.subjects_known:
        warnings.append(
            "subjects are unknown: split by scan (an image or volume); one subject may be in several splits"
        )
    for unknown in ("origin", "version", "licence"):
        if not getattr(source, unknown):
            warnings.append(f"its {unknown} is unknown")
    said = Counter(_without_folder(warning, source) for outcome in outcomes.values() for warning in outcome.warnings)
    return warnings + [text if times == 1 else f"{text} ({times} times)" for text, times in said.items()]


def _without_folder(text: str, source: Source) -> str:
    """Remove the folder of the source from a message, because a corpus may be passed on."""
    return text.replace(f"{source.folder}/", "")


def _count(values, names: Sequence[str]) -> dict[str, int]:
    counted = Counter(values)
    return {name: counted[name] for name in names}


def _version() -> str:
    try:
        return version("universeg-jax")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"


TILE, GAP, LINE = 128, 4, 18  # pixels
COLUMNS, MAX_ROWS = 8, 40
OUTLINE = (255, 176, 0)


def write_sheet(file: Path, corpus: Corpus, dataset: str) -> None:
    """Draw the contact sheet of a dataset: a row for each task, with the outline of the label at 0.5.

    Examples that show the label are chosen evenly over their areas, the smallest first. An even choice of MAX_ROWS
    tasks is drawn if there are more, and the title says so.
    """
    about = corpus.about[dataset]
    tasks = [task for task in corpus.tasks if task.dataset == dataset]
    chosen = _evenly(tasks, MAX_ROWS)
    title = f"{dataset}: {len(chosen)} of {len(tasks)} tasks. Licence: {about['licence']}. From: {about['origin']}"
    width = COLUMNS * (TILE + GAP) + GAP
    sheet = Image.new("RGB", (width, 2 * LINE + len(chosen) * (TILE + LINE + GAP)), "white")
    font, draw = ImageFont.load_default(size=12), ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), _shortened(title, draw, font, width - 2 * GAP), "black", font)
    for row, task in enumerate(chosen):
        top = 2 * LINE + row * (TILE + LINE + GAP)
        examples = sorted((e for e in corpus.examples(task) if e.area > 0), key=lambda e: e.area)
        caption = f"{task.modality}/{task.axis}/{task.label}: {len(examples)} images with it, {_areas(examples)}"
        draw.text((GAP, top), _shortened(caption, draw, font, width - 2 * GAP), "black", font)
        for column, example in enumerate(_evenly(examples, COLUMNS)):
            sheet.paste(_tile(corpus, task, example), (GAP + column * (TILE + GAP), top + LINE))
    sheet.save(file)


def _tile(corpus: Corpus, task: CorpusTask, example: Example) -> Image.Image:
    image, label = corpus.read(task, example.image)
    pixels = np.repeat(np.round(255 * image).astype(np.uint8), 3, axis=-1)
    inside = label[..., 0] >= 0.5
    pixels[inside & ~ndimage.binary_erosion(inside)] = OUTLINE
    return Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.NEAREST)


def _areas(examples: list[Example]) -> str:
    return f"area {examples[0].area:.2%} to {examples[-1].area:.2%}"


def _evenly(values: list, number: int) -> list:
    if len(values) <= number:
        return values
    return [values[i] for i in np.linspace(0, len(values) - 1, number).round().astype(int)]


def _shortened(text: str, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont, width: int) -> str:
    text = " ".join(text.split())
    while draw.textlength(text, font) > width:
        text = text[:-2].removesuffix("…") + "…"
    return text
