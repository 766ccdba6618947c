"""A small task on disk and a model quick enough to be run a hundred times."""

import jax.numpy as jnp
import numpy as np
from PIL import Image

from universeg_jax.cli.main import main


class Brightness:
    """A model that finds bright pixels as foreground, or as the last of several classes."""

    input_size = 16
    input_channels = 1
    padding = "zeros"

    def prepare(self, images, labels, mask):
        problems = len(labels)
        centres = jnp.linspace(0, 1, problems) if problems > 1 else jnp.ones(1)

        def predictor(images, regions, weights=None):
            return 4 - 10 * jnp.abs(centres[:, None, None, None, None] - images)

        return predictor


class Weighted:
    """Predicts the weighted mean label of its support entries, whatever the target."""

    input_size = 16
    input_channels = 1
    padding = "zeros"

    def prepare(self, images, labels, mask):
        def predictor(targets, regions, weights=None):
            weights = np.ones((len(targets), len(images))) if weights is None else weights
            own = mask[:, None] * weights / np.maximum((mask[:, None] * weights).sum(-1, keepdims=True), 1e-9)
            mean = jnp.einsum("kbs,kshwc->kbhwc", own, labels)
            return jnp.log(mean + 1e-6) - jnp.log(1 - mean + 1e-6)

        return predictor


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def bright_disc(seed: int, height: int = 20, width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image with a bright disc, and its mask of 0 and 255."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    inside = (y - rng.uniform(7, 12)) ** 2 + (x - rng.uniform(8, 14)) ** 2 < rng.uniform(25, 36)
    return np.where(inside, 220, 30).astype(np.uint8), np.where(inside, 255, 0).astype(np.uint8)


def write_task(folder, *, encode=lambda mask: mask, targets: int = 3):
    """Write support/, images/ and labels/; `encode` turns a mask of 0 and 255 into the saved array."""
    for i in range(4):
        image, mask = bright_disc(i)
        save(folder / "support" / "images" / f"s{i}.png", image)
        save(folder / "support" / "masks" / f"s{i}.png", encode(mask))
    for i in range(targets):
        image, mask = bright_disc(100 + i, 20 + i % 7, 24)
        save(folder / "images" / f"t{i}.png", image)
        save(folder / "labels" / f"t{i}.png", encode(mask))


def predict(folder, *more: str) -> int:
    """Run `universeg-jax predict` on a task of `write_task` and return its exit code."""
    options = {"-s": "support", "-i": "images", "-o": "out"}
    argv = [part for option, name in options.items() if option not in more for part in (option, str(folder / name))]
    if not {"-m", "--model", "-w", "--weights", "--features"} & set(more):
        argv += ["--model", "universeg"]  # a stand-in; the default compares it with ProtoSAM
    return main(["predict", *argv, *map(str, more)])


def refused(capsys, code: int) -> str:
    """Return the one error line of a refused run."""
    assert code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]
