import json
import sys

import numpy as np
import pytest

from experiments import curve
from universeg_jax.errors import InputError


def run(folder, steps):
    folder.mkdir()
    lines = [{"step": k, "loss": 1 / k, "dice": 1 - 1 / k} for k in range(1, steps + 1)]
    lines.append({"step": steps, "validation": 0.25})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def test_each_run_has_its_curves(tmp_path):
    figure = curve.draw({"one": run(tmp_path / "one", 300), "two": run(tmp_path / "two", 7)})
    loss, dice = figure.axes
    assert [line.get_label() for line in loss.lines] == ["one", "two"]
    long, short = (line.get_xydata() for line in loss.lines)
    assert len(long) == 300 - curve.SMOOTHED + 1
    np.testing.assert_allclose(short, [[4, 1 / 4]])  # medians
    assert [line.get_xydata()[-1].tolist() for line in dice.lines[1::2]] == [[300, 0.25], [7, 0.25]]


def test_a_folder_that_is_no_run_is_named(tmp_path, monkeypatch):
    run(tmp_path / "one", 3)
    (tmp_path / "empty").mkdir()
    out = tmp_path / "curve.png"
    arguments = ["--out", str(out), str(tmp_path / "one")]
    monkeypatch.setattr(sys, "argv", ["curve", *arguments])
    curve.main()
    assert out.stat().st_size > 1000
    monkeypatch.setattr(sys, "argv", ["curve", *arguments, str(tmp_path / "empty")])
    with pytest.raises(InputError, match=r"empty: holds no metrics.jsonl"):
        curve.main()
