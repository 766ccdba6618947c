"""The page in a real browser: paint with the mouse, propose, correct, confirm, restart, compare files."""

import numpy as np
import pytest

from tests.helpers.app_server import serve
from tests.helpers.browser import browser_page
from tests.helpers.stand_in import save
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.masks import read_mask
from universeg_jax.io.task_folder import read_support

pytestmark = pytest.mark.slow
SIDE = 96
CENTRES = ((30, 30), (60, 40), (40, 64), (55, 55))


def disc(centre):
    y, x = np.mgrid[:SIDE, :SIDE]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 15**2


@pytest.fixture
def folder(tmp_path):
    for i, centre in enumerate(CENTRES):
        save(tmp_path / "images" / f"s{i}.png", np.where(disc(centre), 220, 30).astype(np.uint8))
    return tmp_path


def open_page(page, url):
    page.goto(url)
    page.wait_for_selector("#editor canvas")
    page.wait_for_function("document.querySelectorAll('#list img').length == 4")
    page.wait_for_function("document.querySelector('#state').innerText.includes('s0')")
    settle(page)


def settle(page):
    """Wait until no component waits for the server, and the editor looks the same twice in a row."""
    page.wait_for_timeout(700)
    page.wait_for_function("!document.querySelector('.wrap.generating, .wrap.translucent, .progress-text')")
    before = None
    for _ in range(30):
        page.wait_for_timeout(1000)
        shown = page.locator("#editor").screenshot()
        if shown == before:
            return
        before = shown
    raise AssertionError("the editor does not come to rest")


def paint(page, centre, radius=12):
    """Paint a blob with the mouse: strokes of the brush back and forth."""
    box = page.locator("#editor canvas").first.bounding_box()
    scale = min(box["width"], box["height"]) / SIDE
    # The image is drawn in the middle of the canvas, as large as fits; find it by its zoom.
    zoom = float(page.locator("#editor").get_by_text("%").first.inner_text().rstrip("%")) / 100
    scale = zoom if zoom * SIDE <= max(box["width"], box["height"]) else scale
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def at(y, x):
        return middle[0] + (x - SIDE / 2) * scale, middle[1] + (y - SIDE / 2) * scale

    for dy in range(-radius, radius + 1, 6):
        page.mouse.move(*at(centre[0] + dy, centre[1] - radius))
        page.mouse.down()
        page.mouse.move(*at(centre[0] + dy, centre[1] + radius), steps=8)
        page.mouse.up()
    page.wait_for_timeout(500)


def confirm(page):
    """Press Confirm until it is done: while the image is being drawn, the page asks to wait."""
    for _ in range(20):
        page.click("#confirm")
        page.wait_for_timeout(3000)
        if "confirmed" in page.locator("#state").inner_text():
            return
    raise AssertionError(page.locator("#state").inner_text())


def test_paint_propose_correct_confirm_and_restart(folder):
    with serve(folder) as app, browser_page(width=1100) as page:
        open_page(page, app.url)
        paint(page, CENTRES[0])
        confirm(page)
        painted = read_mask(folder / "masks" / "s0.png").values
        assert set(np.unique(painted)) == {0, 1}
        assert dice(painted == 1, disc(CENTRES[0])) > 0.7
        settle(page)
        page.click("#propose-all")
        page.wait_for_function("document.querySelector('#progress').innerText.includes('1 of 4')")
        page.wait_for_function("document.querySelectorAll('#list .caption-label').length == 4")
        states = [app.workspace.state(f"s{i}") for i in (1, 2, 3)]
        for _ in range(60):
            states = [app.workspace.state(f"s{i}") for i in (1, 2, 3)]
            if all(state is State.PROPOSED for state in states):
                break
            page.wait_for_timeout(500)
        assert states == [State.PROPOSED] * 3
        settle(page)
        page.click("#next")
        settle(page)
        name = page.locator("#state strong").inner_text()
        assert name in ("s1", "s2", "s3")
        assert not (folder / "masks" / f"{name}.png").exists()
        confirm(page)
        truth = disc(CENTRES[int(name[1])])
        assert (
            dice(read_mask(folder / "masks" / f"{name}.png").values == 1, truth) > 0.85
        )  # the stand-in sees 16 pixels
        assert page.outside == []
    again = Workspace(folder)
    assert again.confirmed() == sorted(["s0", name])
    assert [again.state(n) for n in again.names if n not in ("s0", name)] == [State.PROPOSED] * 2
    assert read_support(folder).names == sorted(["s0", name])


def test_what_is_left_unsaved_is_saved_and_two_tabs_do_not_mix(folder):
    with serve(folder) as app, browser_page() as page:
        open_page(page, app.url)
        paint(page, CENTRES[0])
        page.locator("#list img").nth(2).click()
        page.wait_for_function("!document.querySelector('#state').innerText.includes('s0')")
        assert app.workspace.state("s0") is State.EDITED
        assert (folder / "masks" / "s0.png").exists()
        settle(page)
        name = page.locator("#state strong").inner_text()
        other = np.ones((SIDE, SIDE), int)
        app.workspace.save(name, other, seen="", confirm=True)  # as another tab would
        paint(page, (40, 40))
        page.click("#confirm")
        page.get_by_text("changed elsewhere").first.wait_for()
        np.testing.assert_array_equal(app.workspace.mask(name), other)
