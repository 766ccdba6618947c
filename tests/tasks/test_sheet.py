import numpy as np
from corpora import prepare_all
from make_sources import pictures
from PIL import Image

from universeg_jax.tasks import sheet


def test_a_row_per_task_with_outlines(tmp_path):
    [prepared] = prepare_all(pictures(tmp_path / "cells", 10), tmp_path / "corpus")
    pixels = np.asarray(Image.open(prepared.folder / "sheet.png")).astype(int)
    rows = 2
    assert pixels.shape == (2 * sheet.LINE + rows * (sheet.TILE + sheet.LINE + sheet.GAP), 1060, 3)
    outline = (pixels == sheet.OUTLINE).all(-1)
    for row in range(rows):
        top = 2 * sheet.LINE + row * (sheet.TILE + sheet.LINE + sheet.GAP) + sheet.LINE
        for column in range(sheet.COLUMNS):
            left = sheet.GAP + column * (sheet.TILE + sheet.GAP)
            assert 20 < outline[top : top + sheet.TILE, left : left + sheet.TILE].sum() < 500


def test_many_tasks_and_long_names_fit(tmp_path):
    folder = pictures(tmp_path / "cells", 2, values=tuple(range(1, 60)), size=(60, 1200))
    (folder / "classes.json").write_text('{"1": "%s"}' % ("a very long name " * 30))
    [prepared] = prepare_all(folder, tmp_path / "corpus")
    width, height = Image.open(prepared.folder / "sheet.png").size
    assert width == 1060
    assert height == 2 * sheet.LINE + sheet.MAX_ROWS * (sheet.TILE + sheet.LINE + sheet.GAP)
