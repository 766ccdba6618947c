"""Measure how long the page takes to open a folder of 2,000 images, and to propose a mask.

    python -m experiments.page_speed --out experiments/results/app

The folder holds pictures of 512 pixels. A quarter of them have masks. It is opened for the first time, and again with
what the first session kept. Proposals are of the shipped nuclei, enlarged to 512 pixels, from 16 examples and more.
Each further proposal follows a confirmed image, as in use: the examples are taken in anew.
"""

import argparse
import os
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
from universeg_jax.app.propose import Proposer, segmenter_for
from universeg_jax.app.workspace import Workspace
from universeg_jax.util.json_files import write_json

SIDE = 512
IMAGES = 2000
EXAMPLES = 16


class Times(dict[str, float]):
    """Seconds of named steps, written to a folder after each.

    Args:
        out: gets NAME.json and NAME.md.
        name: of the files.
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
    """Measure proposals from 16 examples and more."""
    nuclei = Path(str(files("universeg_jax") / "assets" / "examples" / "nuclei"))
    parts = ("support", "images", "masks"), ("targets", "", "labels")
    for part, images, masks in parts:
        for kind, place in (("images", nuclei / part / images), ("masks", nuclei / part / masks)):
            place = nuclei / "labels" if (part, kind) == ("targets", "masks") else place
            for file in sorted(place.iterdir()):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                shape = Image.BILINEAR if kind == "images" else Image.NEAREST
                Image.open(file).resize((SIDE, SIDE), shape).save(folder / kind / f"{part}{file.stem}.png")
    masks = {file: np.asarray(Image.open(file)) for file in sorted((folder / "masks").iterdir())}
    for file in list(masks)[EXAMPLES:]:
        file.unlink()
    workspace = Workspace(folder)
    proposer = Proposer(workspace, segmenter_for(workspace))
    with times.of("load the models"):
        proposer.segmenter()
    todo = [name for name in workspace.names if name not in workspace.confirmed()]
    for number, name in enumerate(todo[:4]):
        examples = len(workspace.confirmed())
        with times.of(f"propose image {number + 1} from {examples} examples"):
            list(proposer.propose([name]))
        with times.of(f"prepare for the next, while a person looks at image {number + 1}"):
            proposer.prepare()
        with times.of(f"confirm image {number + 1}"):
            workspace.save(name, masks[folder / "masks" / f"{name}.png"].astype(int), seen="", confirm=True)


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
