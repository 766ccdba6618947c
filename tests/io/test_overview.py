import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from universeg_jax.io.overview import overview, write_overview
from universeg_jax.io.sheet import CLASS_COLOURS, LARGEST_CELL, Result, Section, ShownExample, shorten


def image(height=20, width=30, channels=()):
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels)).astype(np.uint8)


def mask(height=20, width=30, classes=2):
    return np.arange(height * width).reshape(height, width) * classes // (height * width)


def section(results, classes=1):
    names = {value: f"class {value}" for value in range(1, classes + 1)}
    return Section("title", "note", names, [ShownExample("s", image(), mask(classes=classes + 1))], results)


def drawn(sections):
    stream = io.BytesIO()
    write_overview(stream, sections)
    return Image.open(stream)


@pytest.mark.parametrize("number", [1, 2, 7])
def test_results_do_not_overlap_and_lie_on_the_sheet(number):
    figure = overview([section([Result("a", image(), mask(), mask(), 0.5, mask() * 0.1) for _ in range(number)])])
    figure.draw_without_rendering()
    boxes = [axes.get_position(original=True) for axes in figure.axes]
    assert len(boxes) == 1 + 3 * number
    for i, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1
        assert not any(box.overlaps(other) for other in boxes[:i])


@pytest.mark.parametrize(
    "name", ["a", "a-name-that-is-very-much-too-long-for-its-place" * 3, "CASE_ABDOMEN_2020_" * 5, "$x_1$"]
)
def test_titles_end_before_the_dice(name):
    figure = overview([section([Result(name, image(), mask(), mask(), 0.5) for _ in range(4)])])
    FigureCanvasAgg(figure).draw()
    texts = [text.get_window_extent() for text in figure.texts if text.get_text()]
    assert not any(a.overlaps(b) for i, a in enumerate(texts) for b in texts[:i])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "result",
    [
        Result("tiny", image(1, 1), mask(1, 1)),
        Result("large", image(900, 50), mask(900, 50)),
        Result("colour", image(channels=(3,)), mask()),
        Result("constant", np.zeros((9, 9), np.uint16), np.zeros((9, 9), int), np.ones((9, 9), int), 0.0),
        Result("float", np.linspace(-1e6, 1e6, 600, dtype=np.float32).reshape(20, 30), mask(), mask(), 1.0),
        Result("図", image(), mask()),  # not in matplotlib's font
        Result("certain", image(), mask(), spread=np.zeros((20, 30))),
    ],
    ids=lambda result: result.name,
)
def test_unusual_images_are_drawn(result):
    assert drawn([section([result])]).size[0] > 1000


def test_many_classes_are_drawn():
    assert drawn([section([Result("a", image(), mask(classes=65))], classes=64)]).size[0] > 1000


def test_prediction_is_drawn_in_its_colour():
    black = np.zeros((20, 30), np.uint8)
    everything, nothing = (drawn([section([Result("a", black, m)])]) for m in (black + 1, black))
    assert np.mean(np.asarray(everything) != np.asarray(nothing)) > 0.02


def test_sections_are_stacked():
    one, two = (drawn([section([Result("a", image(), mask())])] * n).size[1] for n in (1, 2))
    assert two > 1.8 * one


def test_single_result_is_not_blown_up():
    assert section([Result("a", image(), mask())]).cell == LARGEST_CELL


def test_shorten():
    assert shorten("short", 5) == "short"
    assert shorten("a-long-name", 7) == "a-l…ame"
    assert len(shorten("x" * 100, 20)) == 20


def pixels(result_or_section):
    """Colours on a sheet, (N,3) uint8."""
    return np.asarray(drawn([result_or_section]).convert("RGB")).reshape(-1, 3)


def shows(sheet, colour):
    """Number of pixels within 12 of a colour such as "#E69F00"."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(sheet.astype(int) - wanted).max(axis=1) <= 12).sum())


@pytest.mark.parametrize("ring_is", ["first", "last"])
def test_a_ring_and_its_core_are_both_seen(ring_is):
    rows, columns = np.indices((60, 60)) - 30
    distance = np.hypot(rows, columns)
    ring, core = (1, 2) if ring_is == "first" else (2, 1)
    nested = np.where(distance < 14, core, np.where(distance < 16, ring, 0))
    black = np.zeros((60, 60), np.uint8)
    sheet = Section("t", "n", {1: "a", 2: "b"}, [ShownExample("s", black, nested)], [Result("r", black, nested)])
    empty = Section(
        "t", "n", {1: "a", 2: "b"}, [ShownExample("s", black, 0 * nested)], [Result("r", black, 0 * nested)]
    )
    seen, swatches = pixels(sheet), pixels(empty)
    for colour in CLASS_COLOURS[:2]:
        assert shows(seen, colour) > shows(swatches, colour) + 500


def test_classes_are_drawn_in_their_own_colours():
    black = np.zeros((30, 30), np.uint8)
    labels = np.full((30, 30), 0x00FF00)
    own = Section("t", "n", {0x00FF00: "g"}, [], [Result("r", black, labels)], colours={0x00FF00: "#00ff00"})
    sheet = pixels(own)
    assert shows(sheet, "#00ff00") > 500
    assert shows(sheet, CLASS_COLOURS[0]) == 0


def test_padding_shows_no_uncertainty():
    scan = np.zeros((40, 40), np.uint8)
    scan[10:30, 5:35] = image(20, 30)
    scan[10, 5:35] = scan[29, 5:35] = 200
    inside = np.zeros((40, 40))
    inside[12:20, 8:30] = 0.2
    bands = inside.copy()
    bands[:8] = 0.4
    clean, banded = (section([Result("r", scan, 0 * scan, spread=spread)]) for spread in (inside, bands))
    np.testing.assert_array_equal(pixels(clean), pixels(banded))
