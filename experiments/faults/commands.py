"""Commands that are killed, started twice, and run on a full disk: tiny networks, tiny images."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.faults.child import write_small_task, write_small_weights

Arguments = Callable[[Path], Sequence[str]]
"""Arguments of `universeg-jax` for an output folder."""


@dataclass(frozen=True)
class Command:
    """A command that writes an output folder.

    Attributes:
        name: in the table.
        run: its arguments.
        again: arguments of the next run after a kill, where results may exist already; None for the same.
        complete: file that only complete results have.
    """

    name: str
    run: Arguments
    complete: str
    again: Arguments | None = None

    @property
    def resume(self) -> Arguments:
        """Arguments of the next run after a kill."""
        return self.again or self.run


_TRAIN = """\
from universeg_jax.data.augment import Policy
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train.config import Stage, TrainConfig

config = TrainConfig(
    stages=(Stage(size=64, steps=12, batch_size=1, support_size=2, learning_rate=1e-3),),
    model=UniverSegConfig(encoder_features=((2, 2), (2, 2))),
    policy=Policy.none(),
    validation=0.0,
    validate_every=4,
    save_every=2,
    picture_every=100,
)
"""

_TORCH = """
import sys
import universeg_jax as uj
uj.weights.save_torch(uj.weights.export_universeg(uj.load(sys.argv[1])), sys.argv[2])
"""


def commands(place: Path) -> list[Command]:
    """Write inputs to a folder, and return all commands that write an output folder.

    Other processes write what JAX computes: TensorStore ends every process that is forked after it was used.
    """
    weights = str(write_small_weights(place / "weights"))
    subprocess.run([sys.executable, "-c", _TORCH, weights, str(place / "small.pt")], check=True)
    task = write_small_task(place / "task")
    support, targets = str(task / "support"), str(task / "targets")
    scans = _write_scans(place / "scans")
    corpus, config = place / "corpus", place / "config.py"
    config.write_text(_TRAIN)
    prepare = ["prepare", support, "--workers", "1", "-q", "--licence", "none", "--name", "discs"]
    subprocess.run([sys.executable, "-m", "universeg_jax", *prepare, "-o", str(corpus)], check=True)
    predict = ["predict", "-s", support, "-i", targets, "-w", weights, "--ensemble", "2", "-q"]
    volumes = ["predict", "-s", str(scans / "support"), "-i", str(scans / "targets"), "-w", weights, "-q"]
    evaluate = ["evaluate", support, "-w", weights, "--support", "2", "--draws", "1", "-q"]
    finetune = ["finetune", support, "-w", weights, "--steps", "30", "--support", "2", "-q"]
    train = ["train", str(config), "--corpus", str(corpus), "-q"]
    export = ["export", "-w", weights, "-q"]
    convert = ["convert", "universeg", str(place / "small.pt")]
    return [
        Command("predict", _to(predict), "report.json", _to(predict, "--overwrite")),
        Command("predict of volumes", _to(volumes), "overview.png"),
        Command("evaluate", _to(evaluate), "results.json"),
        Command("prepare", _to(prepare), "discs/dataset.json"),
        Command("train", _to(train), "last/universeg.json"),
        Command("finetune", _to(finetune), "report.json"),
        Command("convert", _to(convert), "universeg.json", _to(convert, "--overwrite")),
        Command("export", _to(export), "export.json", _to(export, "--overwrite")),
    ]


def _to(arguments: Sequence[str], *more: str) -> Arguments:
    return lambda out: [*arguments, "-o", str(out), *more]


def _write_scans(folder: Path) -> Path:
    """Write support/images, support/masks and targets/ of two and three NIfTI scans with a bright ball."""
    import nibabel

    rng = np.random.default_rng(0)
    x, y, z = np.mgrid[:20, :18, :6]
    for i in range(5):
        inside = (x - rng.uniform(8, 12)) ** 2 + (y - rng.uniform(7, 11)) ** 2 + 4 * (z - 3) ** 2 < rng.uniform(25, 36)
        arrays = (np.where(inside, 200, 40), inside) if i < 2 else (np.where(inside, 200, 40),)
        places = ("support/images", "support/masks") if i < 2 else ("targets",)
        for where, array in zip(places, arrays, strict=True):
            (folder / where).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array.astype(np.int16), np.eye(4)), folder / where / f"s{i}.nii.gz")
    return folder
