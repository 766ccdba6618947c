"""What is seen of a run: a progress bar, metrics.jsonl, and curves for TensorBoard."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm


class Watch:
    """Where a run is told of. A context manager.

    Args:
        folder: gets metrics.jsonl, one line for each call of `log`, and tensorboard/.
        first: the step that the run goes on from; later lines, of steps that will be taken again, are dropped.
        steps: at which the run ends.
        quiet: without the bar.
        leads: whether this process writes; the others of a run do not.
    """

    def __init__(self, folder: Path, *, first: int, steps: int, quiet: bool = False, leads: bool = True):
        from tensorboardX import SummaryWriter  # slow to import

        self._curves, self._lines = None, None
        if leads:
            file = folder / "metrics.jsonl"
            _drop_after(file, first)
            self._lines = file.open("a", encoding="utf-8")
            self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1)
        hidden = quiet or not leads
        self._bar = tqdm(total=steps, initial=first, unit="step", disable=hidden, file=sys.stderr, dynamic_ncols=True)
        self._shown: dict[str, str] = {}

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *exception) -> None:
        self._bar.close()
        if self._lines is not None:
            self._lines.close()
            self._curves.close()

    def step(self, **shown: float) -> None:
        """One step further, with values to show at the bar."""
        self._shown |= {name: f"{value:.3f}" for name, value in shown.items()}
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update()

    def show(self, **shown: float) -> None:
        """Values that stay at the bar."""
        self._shown |= {name: f"{value:.3f}" for name, value in shown.items()}

    def log(self, step: int, **values: float | Mapping[str, float]) -> None:
        """Values of a step; a mapping holds one for each of its names."""
        if self._lines is None:
            return
        self._lines.write(json.dumps({"step": step, **values}) + "\n")
        self._lines.flush()
        for name, value in values.items():
            for part, number in value.items() if isinstance(value, Mapping) else {"": value}.items():
                self._curves.add_scalar(f"{name}/{part}".rstrip("/"), number, step)


def read_metrics(file: Path) -> list[dict]:
    """The lines of a metrics.jsonl; one that was cut off by a kill is left out."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _drop_after(file: Path, step: int) -> None:
    lines = [line for line in read_metrics(file) if line["step"] <= step]
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    unfinished.replace(file)
