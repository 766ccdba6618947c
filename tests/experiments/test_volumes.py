"""Tables of the experiments on volumes."""

import numpy as np
import pytest

from experiments.volume_cleaning import WAYS
from experiments.volume_memory import body
from experiments.volume_options import SIGMAS, measure, segment
from experiments.volume_options import table as options_table
from experiments.volumes import CHOICES, ORGANS, table
from tests.helpers.intensities import Intensities
from tests.helpers.make_volumes import write_volumes
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.volume_files import read_label_volume, read_volume
from universeg_jax.io.volume_folder import find_volumes, open_volume_folder
from universeg_jax.io.volumes import AXES
from universeg_jax.segment.report import environment
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.volume import fit_volumes


def test_choices_are_compared_on_the_same_scans():
    first, second = list(CHOICES)[:2]
    dices = [(first, 1, 0.5), (first, 2, 0.9), (second, 1, 0.6)]
    records = [{"choice": name, "target": scan, **dict.fromkeys(ORGANS.values(), value)} for name, scan, value in dices]
    about = {"command": "c", "weights": "w", "support": 3, "step": 6, **environment()}
    lines = table(records, about).splitlines()
    assert any(line.startswith(f"| {first} |") and "| 0.700 | 2 |" in line for line in lines)
    assert any(line.startswith(f"| {second} |") and line.endswith("| 0.600 | 1 | +0.100 | 1, 0 |") for line in lines)


@pytest.mark.parametrize("way", WAYS)
def test_cleaning_keeps_a_solid_structure(way):
    mask = np.zeros((9, 9, 9), np.uint8)
    mask[2:7, 2:7, 2:7] = 3
    island = mask.copy()
    island[0, 0, 0] = 3
    cleaned = WAYS[way](island, np.array([0, 3]), 2)
    assert (cleaned[3:6, 3:6, 3:6] == 3).all()
    assert (cleaned[0, 0, 0] == 3) == (way in {"as predicted", "smoothed by 1 slice"})


def test_the_synthetic_ct_has_an_organ():
    image, mask = body((16, 16, 8), 2, 6)
    assert image.dtype == np.int16
    assert image[..., 0].max() == -1000
    assert image[mask == 1].min() > 80


def test_networks_axes_and_smoothing_are_scored_against_the_truth(tmp_path):
    folder = write_volumes(tmp_path, targets=2)
    support = open_volume_folder(folder / "support")
    target = find_volumes(folder / "scans", folder / "labels")[1]
    volume, maps = read_volume(target.image), {}
    for axis in AXES[1:]:
        task = fit_volumes(Segmenter(Intensities()), support, axis=axis)
        file = tmp_path / f"{axis}.npy"
        maps["UniverSeg", axis] = segment(lambda task=task: task, axis, volume, 2, file)
        np.testing.assert_array_equal(segment(None, axis, volume, 2, file), maps["UniverSeg", axis])
        maps["ProtoSAM", axis] = 0 * maps["UniverSeg", axis]
    record = {"scan": target.name, "dice": measure(maps, target, {1: "one", 2: "two"}, [0.0, 0.375, 1.0])}
    truth = read_label_volume(target.mask, volume)[0].voxels
    expected = dice(task.segment(volume).mask == 2, truth == 2)  # smoothed by 0.5 slices, the default
    assert record["dice"]["UniverSeg | axial | 0.5"]["two"] == pytest.approx(expected)
    assert record["dice"]["UniverSeg | mean over axes | 0"]["one"] > 0.7
    assert record["dice"]["ProtoSAM | axial | 0"]["one"] == 0
    assert "0.625 UniverSeg and 0.375 ProtoSAM | coronal | 0.8" in record["dice"]
    page = options_table([record], {"title": "t", "command": "c", **environment()})
    assert page.count("\n| ") == 3 * 3 * len(SIGMAS) + 1
