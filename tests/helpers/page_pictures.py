"""Take pictures of the page in each of its states, to look at: python -m tests.helpers.page_pictures OUT

Each state is drawn in light and dark colours, 1100 and 1600 pixels wide. A stand-in takes the place of the models.
The pictures are for people: no test compares them.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import universeg_jax
from tests.helpers.app_server import serve
from tests.helpers.browser import new_page, start_browser
from tests.helpers.make_sources import nifti
from tests.helpers.make_volumes import affine, scene
from tests.helpers.page_driver import confirm, open_page, paint, settle
from tests.helpers.protosam_networks import TINY_VIT, sam
from universeg_jax.app.clicks import Prompter
from universeg_jax.app.server import Gate

NUCLEI = Path(universeg_jax.__path__[0]) / "assets" / "examples" / "nuclei" / "support" / "images"
SIDE = 256
WIDTHS = (1100, 1600)


@contextmanager
def pictures_folder() -> Iterator[Path]:
    """Yield a folder of six nuclei, one of them with a long name, a constant picture and a damaged one."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "cells"
        (folder / "images").mkdir(parents=True)
        names = ["a-very-long-name-of-a-microscope_2024-03-11_slide-17_field-004", "b", "c", "d", "e", "f"]
        for name, file in zip(names, sorted(NUCLEI.iterdir()), strict=False):
            Image.open(file).resize((SIDE, SIDE), Image.BILINEAR).save(folder / "images" / f"{name}.png")
        Image.fromarray(np.full((SIDE, SIDE), 60, np.uint8)).save(folder / "images" / "x-constant.png")
        (folder / "images" / "y-damaged.png").write_bytes(b"damaged")
        yield folder


def take(page: Page, out: Path, only: str) -> None:
    """Write a screenshot of each state of the page; `only` names one part of the page, "" takes all parts."""

    def shoot(name: str) -> None:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 1000})
            for look in ("light", "dark"):
                page.evaluate(f"document.body.classList.toggle('dark', {str(look == 'dark').lower()})")
                page.wait_for_timeout(400)
                page.screenshot(path=out / f"{name}-{width}-{look}.png", full_page=True)
        page.evaluate("document.body.classList.remove('dark')")
        page.set_viewport_size({"width": WIDTHS[0], "height": 1000})

    if only in ("", "pictures"):
        with pictures_folder() as folder:
            _of_pictures(page, folder, shoot)
    if only in ("", "volumes"):
        with tempfile.TemporaryDirectory() as place:
            _of_volumes(page, Path(place), shoot)
    if only in ("", "login"):
        with pictures_folder() as folder, serve(folder, gate=Gate("secret")) as app:
            page.goto(app.url)
            page.get_by_role("textbox").first.fill("universeg")
            page.get_by_role("textbox").nth(1).fill("wrong")
            page.get_by_role("button").first.click()
            page.wait_for_timeout(1500)
            shoot("11-wrong-password")


def _of_pictures(page: Page, folder: Path, shoot: Callable[[str], None]) -> None:
    with serve(folder, prompter=lambda: Prompter(app.workspace, sam(TINY_VIT))) as app:
        open_page(page, app.url, entries=8)
        shoot("01-nothing-confirmed")
        page.click("#propose")
        page.get_by_text("no image is confirmed").first.wait_for()
        shoot("02-error")
        page.get_by_text("Start from a click or a box").click()
        page.locator("#prompt img").wait_for()
        for kind, places in (("Click", [(0.4, 0.5)]), ("Box", [(0.2, 0.2), (0.6, 0.7)])):
            page.locator("#prompt-kind").get_by_text(kind, exact=True).click()
            for x, y in places:
                box = page.locator("#prompt img").bounding_box()
                page.locator("#prompt img").click(position={"x": x * box["width"], "y": y * box["height"]})
                page.wait_for_timeout(700)
            settle(page)
            shoot(f"03-prompt-{kind.lower()}")
        page.get_by_text("Start from a click or a box").click()
        paint(page, (90, 120), (SIDE, SIDE), radius=25)
        page.click("#save")
        page.wait_for_function("document.querySelector('#state').innerText.includes('edited')")
        settle(page)
        shoot("04-edited")
        confirm(page)
        settle(page)
        shoot("05-confirmed")
        page.click("#propose-all")
        page.wait_for_function("document.querySelector('#list').innerText.split('proposed').length > 5")
        page.click("#next")
        page.wait_for_timeout(500)
        settle(page)
        shoot("06-proposed-with-warning")
        page.locator("#list img").nth(3).click()
        page.wait_for_timeout(500)
        page.get_by_label("outline").click()
        page.get_by_text("Classes", exact=True).first.click()
        settle(page)
        shoot("07-outline-and-classes")
        page.get_by_label("fill").click()
        app.workspace.save("b", np.asarray(app.workspace.image("b") > 99, int), seen="", confirm=True)
        page.locator("#ensemble input[type=range]").focus()
        page.keyboard.press("ArrowRight")
        page.locator("#ensemble input[type=range]").dispatch_event("pointerup")
        page.wait_for_timeout(1500)
        settle(page)
        shoot("08-heat-map")
        for name in app.workspace.names:
            if not app.workspace.problem(name):
                values = np.zeros((SIDE, SIDE), int)
                app.workspace.save(name, values, seen=app.workspace.token(name), confirm=True)
        page.reload()
        page.wait_for_selector("#state strong")
        settle(page)
        shoot("09-all-done")


def _of_volumes(page: Page, folder: Path, shoot: Callable[[str], None]) -> None:
    for i in range(2):
        nifti(folder / "images" / f"patient-{i}.nii.gz", scene(i)[0].repeat(6, 0).repeat(6, 1), affine=affine())
    with serve(folder) as app:
        open_page(page, app.url, entries=2)
        page.locator("#list img").nth(1).click()
        page.wait_for_function("document.querySelector('#state').innerText.includes('patient-1, slice 6')")
        settle(page)
        paint(page, (60, 40), (144, 120), radius=15)
        confirm(page)
        page.click("#propose-scan")
        page.wait_for_function("document.querySelector('#list').innerText.includes('Dice')")
        settle(page)
        shoot("10-volume")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the pictures")
    parser.add_argument("--only", choices=("pictures", "volumes", "login"), default="", help="default: all parts")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = start_browser(playwright)
        take(new_page(browser, width=WIDTHS[0]), arguments.out, arguments.only)
        browser.close()


if __name__ == "__main__":
    main()
