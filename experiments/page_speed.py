"""Measure how long the page takes to open a folder of 2,000 images, and to propose a mask.

    python -m experiments.page_speed --out experiments/results/app

The folder holds pictures of 512 pixels. A quarter of them have masks. It is opened for the first time, and again with
the files of the first session. Proposals are of the shipped nuclei, enlarged to 512 pixels, from 16 examples and more.
They are measured as a person waits for them: from the press of Propose until the server has answered with the mask,
after a pause of a few seconds and without one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.app.editor import Opened
from universeg_jax.app.propose import Proposer, segmenter_for
from universeg_jax.app.workspace import Workspace
from universeg_jax.io.task_folder import LABELLING
from universeg_jax.util.json_files import write_json

SIDE = 512
IMAGES = 2000
EXAMPLES = 16
DRAWING = (0.5, 0.5, "fill")  # threshold, opacity, style


class Times(dict[str, float]):
    """Seconds of named steps, written to a folder after each.

    Args:
        out: gets NAME.json and NAME.md.
        name: name of the files.
    """

    def __init__(self, out: Path, name: str):
        super().__init__()
        self._out, self._name = out, name
        self._machine = {**machine(), "load": round(os.getloadavg()[0], 1)}  # other processes make all steps slower
        out.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Measure a step."""
        began = time.perf_counter()
        yield
        self[step] = round(time.perf_counter() - began, 2)
        print(f"{self[step]:8.2f} s  {step}", flush=True)
        about = {"command": "python -m experiments.page_speed --out experiments/results/app", "machine": self._machine}
        write_json(self._out / f"{self._name}.json", {**about, "seconds": self})
        rows = "\n".join(f"| {one} | {seconds:.2f} |" for one, seconds in self.items())
        text = f"| step | seconds |\n|---|---|\n{rows}\n"
        (self._out / f"{self._name}.md").write_text(text, encoding="utf-8")


def open_folder(folder: Path, times: Times) -> None:
    """Measure opening a folder, and its first sheet as the page shows it."""
    from universeg_jax.app.image_list import ImageList

    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    noise = Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).resize((SIDE, SIDE), Image.BILINEAR)
    noise.save(folder / "one.png")
    (folder / "one.png").rename(folder.parent / "one.png")
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[100:300, 150:320] = 1
    Image.fromarray(mask).save(folder.parent / "mask.png")
    picture, own = (folder.parent / name for name in ("one.png", "mask.png"))
    for i in range(IMAGES):
        (folder / "images" / f"{i:04d}.png").write_bytes(picture.read_bytes())
        if i % 4 == 0:
            (folder / "masks" / f"{i:04d}.png").write_bytes(own.read_bytes())
    for kind in ("first", "again"):
        with times.of(f"open {IMAGES} images, {kind}"):
            workspace = Workspace(folder)
        with times.of(f"list of the first sheet, {kind}"):
            ImageList(workspace).sheet("All", 1)
        with times.of(f"its thumbnails, {kind}"):
            list(ImageList(workspace).fill("All", 1))
        with times.of(f"first picture, {kind}"):
            workspace.picture(workspace.order()[0])
        if kind == "first":
            with times.of("save a mask"):
                workspace.save("0001", mask.astype(int), seen="", confirm=True)


def propose(folder: Path, times: Times) -> None:
    """Measure proposals as a person waits for them: from the press of a button to the mask that the browser gets."""
    from universeg_jax.app.events import Events

    _nuclei(folder)
    masks = {file.stem: np.asarray(Image.open(file)) for file in sorted((folder / "masks").iterdir())}
    for name in list(masks)[EXAMPLES:]:
        (folder / "masks" / f"{name}.png").unlink()
    (folder / LABELLING).mkdir()  # predict leaves images without a mask out of such a folder
    todo = [name for name in masks if not (folder / "masks" / f"{name}.png").exists()]
    command = ["predict", "-s", folder, "-i", folder / "images" / f"{todo[0]}.png", "-o", folder.parent / "predicted"]
    with times.of(f"the whole command predict, one image, {EXAMPLES} examples"):
        subprocess.run([sys.executable, "-m", "universeg_jax", *map(str, command)], check=True, capture_output=True)

    workspace = Workspace(folder)
    proposer = Proposer(workspace, segmenter_for(workspace))
    events = Events(workspace, proposer, lambda: None)  # type: ignore[arg-type, return-value]  # without clicks
    proposer.start()

    def look(name: str) -> Opened:
        """Open an image."""
        opened, *_ = events.open_chosen(Opened(chosen=name), *DRAWING)
        return opened

    def press(opened: Opened) -> None:
        """Press Propose, and take the mask that the server sends."""
        asked, *_ = events.propose(opened, 1)
        shown, *_ = events.show_proposal(asked, opened, None, *DRAWING)
        events.draw(shown, None)

    def confirm(name: str) -> None:
        values = (masks[name] > 0) * next(iter(workspace.classes))
        workspace.save(name, values, seen=workspace.token(name), confirm=True)
        proposer.wake(name)

    with times.of(f"first proposal, asked for at once: loads the models, encodes {EXAMPLES} examples"):
        press(look(todo[0]))
    with times.of("a proposal while plans are compared"):
        press(look(todo[1]))
    with times.of("in the background: compare plans, make both proposals anew, encode the next images"):
        _wait(proposer)
    for number, name in enumerate(todo[:3]):
        examples = EXAMPLES + number
        opened = look(name)
        _wait(proposer)
        with times.of(f"{examples} examples: Propose on an image that was looked at for a few seconds"):
            press(opened)
        with times.of(f"{examples} examples: open the next image and press Propose at once"):
            press(look(todo[number + 3]))
        confirm(name)
        with times.of(f"in the background: take in example {examples + 1}"):
            _wait(proposer)
    for number, name in enumerate(todo[3:5]):
        confirm(name)
        with times.of(f"{EXAMPLES + number + 4} examples: Confirm, open the next image and press Propose at once"):
            press(look(todo[number + 5]))
    proposer.stop()


def _nuclei(folder: Path) -> None:
    """Write the shipped nuclei, enlarged, with all masks."""
    nuclei = Path(str(files("universeg_jax") / "assets" / "examples" / "nuclei"))
    for part, images, masks in (
        ("support", nuclei / "support" / "images", nuclei / "support" / "masks"),
        ("targets", nuclei / "targets", nuclei / "labels"),
    ):
        for kind, place, shape in (("images", images, Image.BILINEAR), ("masks", masks, Image.NEAREST)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for file in sorted(place.iterdir()):
                Image.open(file).resize((SIDE, SIDE), shape).save(folder / kind / f"{part}{file.stem}.png")


def _wait(proposer: Proposer) -> None:
    """Wait until nothing is left to prepare."""
    while not proposer.idle:
        time.sleep(0.02)


STEPS: dict[str, Callable[[Path, Times], None]] = {"open": open_folder, "propose": propose}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--only", choices=STEPS, help="measure one of them (default: both)")
    arguments = parser.parse_args()
    for name, step in STEPS.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory() as place:
                os.environ["GRADIO_TEMP_DIR"] = place
                step(Path(place) / "folder", Times(arguments.out, name))


if __name__ == "__main__":
    run(main)
