"""Paint in a real browser with the mouse, propose, correct, confirm, restart, and compare the files."""

import threading

import numpy as np
import pytest

from tests.helpers.app_server import serve
from tests.helpers.page_driver import confirm, open_page, paint, press, settle, shown
from tests.helpers.stand_in import Brightness, save
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.masks import read_mask
from universeg_jax.io.task_folder import read_support
from universeg_jax.segment.auto import Choice
from universeg_jax.segment.forecast import Forecast
from universeg_jax.segment.segmenter import Segmenter

pytestmark = pytest.mark.slow
SIZE = (96, 96)
CENTRES = ((30, 30), (60, 40), (40, 64), (55, 55))


def disc(centre):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 15**2


@pytest.fixture
def folder(tmp_path):
    for i, centre in enumerate(CENTRES):
        save(tmp_path / "images" / f"s{i}.png", np.where(disc(centre), 220, 30).astype(np.uint8))
    return tmp_path


def test_paint_propose_correct_confirm_and_restart(folder, page, monkeypatch):
    segmenter, compared = Segmenter(Brightness()), threading.Event()
    segmenter.automatic = True

    def choose(task, *, pause):
        while not compared.wait(timeout=0.05):
            pause()
        return Choice(task.plan, "compared", "a reason", {}, Forecast(0.7, 0.6, 0.8, 2, 0.9))

    monkeypatch.setattr("universeg_jax.app.example_task.choose_plan", choose)
    with serve(folder, model=lambda: segmenter) as app:
        open_page(page, app.url, entries=4)
        paint(page, CENTRES[0], SIZE)
        confirm(page)
        painted = read_mask(folder / "masks" / "s0.png").values
        assert set(np.unique(painted)) == {0, 1}
        assert dice(painted == 1, disc(CENTRES[0])) > 0.7
        page.wait_for_function("document.querySelector('#progress').innerText.includes('1 of 4')")
        page.click("#propose-all")
        page.wait_for_function("document.querySelector('#list').innerText.split('proposed').length == 4")
        assert [app.workspace.state(f"s{i}") for i in (1, 2, 3)] == [State.PROPOSED] * 3
        page.click("#next")
        page.wait_for_function("!document.querySelector('#state').innerText.includes('s0')")
        settle(page)
        name = shown(page)
        assert not (folder / "masks" / f"{name}.png").exists()
        confirm(page)
        truth = disc(CENTRES[int(name[1])])
        # the stand-in sees 16 pixels
        assert dice(read_mask(folder / "masks" / f"{name}.png").values == 1, truth) > 0.85
        # Two examples: the next proposal comes before models are compared, and is made anew after that.
        page.click("#next")
        page.wait_for_function(f"!/s0|{name}/.test(document.querySelector('#state').innerText)")
        page.click("#propose")
        page.wait_for_function(
            "document.querySelector('#about').innerText.includes('from 2 confirmed images: the weights are')"
        )
        compared.set()
        page.wait_for_function("document.querySelector('#about').innerText.includes('a reason')")
        assert page.outside == []
    again = Workspace(folder)
    assert again.confirmed() == sorted(["s0", name])
    assert [again.state(n) for n in again.names if n not in ("s0", name)] == [State.PROPOSED] * 2
    assert read_support(folder).names == sorted(["s0", name])


def test_what_is_left_is_saved_and_two_tabs_do_not_mix(folder, page):
    with serve(folder) as app:
        open_page(page, app.url, entries=4)
        page.click("#propose-all")
        page.get_by_text("no image is confirmed").first.wait_for()
        page.wait_for_selector("#stop", state="hidden")
        settle(page)
        paint(page, CENTRES[0], SIZE)
        page.locator("#list img").nth(2).click()
        page.wait_for_function("!document.querySelector('#state').innerText.includes('s0')")
        assert app.workspace.state("s0") is State.EDITED
        assert (folder / "masks" / "s0.png").exists()
        settle(page)
        name = shown(page)
        other = np.ones(SIZE, int)
        app.workspace.save(name, other, seen="", confirm=True)  # as another tab would
        paint(page, (40, 40), SIZE)
        press(page, "#confirm", "document.body.innerText.includes('changed elsewhere')")
        np.testing.assert_array_equal(app.workspace.mask(name), other)
