"""A contact sheet: every task of a dataset in one picture, to see at a glance what is wrong with it."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from universeg_jax.tasks.task import Corpus, Example, Task

TILE, GAP, LINE = 128, 4, 18  # pixels
COLUMNS, MAX_ROWS = 8, 40
OUTLINE = (255, 176, 0)


def write_sheet(file: Path, corpus: Corpus, dataset: str) -> None:
    """Write the sheet of a dataset: a row per task, with the outline of the label where it is 0.5.

    Examples that show the label are taken evenly over their areas, the smallest first. Of more than MAX_ROWS
    tasks an even choice is shown, and the title says so.
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


def _tile(corpus: Corpus, task: Task, example: Example) -> Image.Image:
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
