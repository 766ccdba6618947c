import numpy as np
from PIL import Image

from tests.helpers.corpora import prepare_all
from tests.helpers.make_sources import pictures
from universeg_jax.data.corpus import describe


def test_a_row_per_task_with_outlines(tmp_path):
    [prepared] = prepare_all(pictures(tmp_path / "cells", 10), tmp_path / "corpus")
    pixels = np.asarray(Image.open(prepared.folder / "sheet.png")).astype(int)
    rows = 2
    assert pixels.shape == (2 * describe.LINE + rows * (describe.TILE + describe.LINE + describe.GAP), 1060, 3)
    outline = (pixels == describe.OUTLINE).all(-1)
    for row in range(rows):
        top = 2 * describe.LINE + row * (describe.TILE + describe.LINE + describe.GAP) + describe.LINE
        for column in range(describe.COLUMNS):
            left = describe.GAP + column * (describe.TILE + describe.GAP)
            assert 20 < outline[top : top + describe.TILE, left : left + describe.TILE].sum() < 500


def test_many_tasks_and_long_names_fit(tmp_path):
    folder = pictures(tmp_path / "cells", 2, values=tuple(range(1, 60)), size=(60, 1200))
    (folder / "classes.json").write_text('{"1": "%s"}' % ("a very long name " * 11))
    [prepared] = prepare_all(folder, tmp_path / "corpus")
    width, height = Image.open(prepared.folder / "sheet.png").size
    assert width == 1060
    assert height == 2 * describe.LINE + describe.MAX_ROWS * (describe.TILE + describe.LINE + describe.GAP)
