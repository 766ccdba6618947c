"""Click into images and label volumes in a real browser."""

import numpy as np
import pytest

from tests.helpers.app_server import serve
from tests.helpers.make_sources import nifti
from tests.helpers.make_volumes import affine, scene
from tests.helpers.page_driver import confirm, open_page, paint, read_closes_late, settle, shown
from tests.helpers.protosam_networks import TINY_VIT, sam
from tests.helpers.stand_in import save
from universeg_jax.app.clicks import Prompter
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.io.volume_folder import open_volume_folder

pytestmark = pytest.mark.slow
SIZE = (96, 96)


def test_a_click_or_a_box_starts_a_mask(tmp_path, page):
    asked = []

    class Recorded(Prompter):
        def segment(self, name, points, *, box):
            found = super().segment(name, points, box=box)
            asked.append((points, box, found))
            return found

    save(tmp_path / "images" / "s0.png", np.random.default_rng(0).integers(0, 255, SIZE).astype(np.uint8))
    with serve(tmp_path, prompter=lambda: Recorded(app.workspace, sam(TINY_VIT))) as app:
        open_page(page, app.url, entries=1)
        page.get_by_text("Start from a click or a box").click()
        image = page.locator("#prompt img")
        for kind, places in (("Click", [(0.3, 0.6)]), ("Box", [(0.2, 0.2), (0.7, 0.8)])):
            page.locator("#prompt-kind").get_by_text(kind, exact=True).click()
            for i, (x, y) in enumerate(places):
                if i:
                    page.get_by_text("opposite corner").first.wait_for()
                box = image.bounding_box()
                image.click(position={"x": x * box["width"], "y": y * box["height"]})
            while not asked:
                page.wait_for_timeout(50)
            page.wait_for_function("document.querySelector('#state').innerText.includes('edited')")
            settle(page)
            points, as_box, found = asked.pop()
            assert as_box == (kind == "Box")
            assert np.abs(np.array(points) - np.array(places) * SIZE[0]).max() <= 1.5
            if not as_box:
                np.testing.assert_array_equal(app.workspace.mask("s0"), found.astype(int))
            page.click("#forget")
        assert app.workspace.state("s0") is State.EDITED


def test_volumes_are_labelled_slice_by_slice(tmp_path, page):
    for i in range(2):
        nifti(tmp_path / "images" / f"v{i}.nii.gz", scene(i)[0], affine=affine())
    read_closes_late(page)
    with serve(tmp_path) as app:
        open_page(page, app.url, entries=2)
        assert page.evaluate("window.lateCloses") > 0
        assert shown(page) == "v0, slice 1"
        page.locator("#list img").nth(1).click()
        page.wait_for_function("document.querySelector('#state').innerText.includes('v1, slice 6')")
        page.click("#slice-back")
        page.wait_for_function("document.querySelector('#state').innerText.includes('v1, slice 5')")
        settle(page)
        paint(page, (12, 8), (24, 20), radius=3)
        confirm(page)
        page.click("#propose-scan")
        page.wait_for_function("document.querySelector('#list').innerText.includes('1 of 10\\nDice')")
        page.click("#confirm-scan")
        page.wait_for_function("document.querySelector('#list').innerText.includes('10 of 10')")
        assert page.outside == []
    assert [file.name for file in open_volume_folder(tmp_path).files] == ["v1"]
    assert Workspace(tmp_path).confirmed() == [f"v1, slice {i}" for i in range(1, 11)]
