"""WBC, ACDC, HC18 and BBBC038 as they are unpacked."""

import numpy as np
import pytest

from tests.helpers import make_sources
from universeg_jax.data.readers import acdc, bbbc038, hc18, wbc
from universeg_jax.errors import InputError


def test_wbc(tmp_path):
    jtsc, cv = wbc.find(make_sources.wbc(tmp_path))
    assert (jtsc.name, cv.name) == ("wbc_jtsc", "wbc_cv")
    assert [item.name for item in jtsc.items] == ["001", "002", "003"]
    [scan] = jtsc.read(jtsc.items[0])
    assert {128: "cytoplasm", 255: "nucleus"}.items() <= scan.class_names.items()
    assert np.unique(scan.labels).tolist() == [0, 128, 255]


def test_acdc(tmp_path):
    [source] = acdc.find(make_sources.acdc(tmp_path))
    assert [(item.name, item.subject) for item in source.items[:3]] == [
        ("patient001_frame01", "patient001"),
        ("patient001_frame12", "patient001"),
        ("patient002_frame01", "patient002"),
    ]
    [scan] = source.read(source.items[0])
    assert (scan.modality, scan.axes, scan.spacing) == ("MR", ("axial",), (1.5, 1.5, 10))
    assert scan.class_names == {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}
    assert np.unique(scan.labels).tolist() == [0, 1, 2, 3]
    assert source.subjects_known


def test_hc18_fills_the_outline(tmp_path):
    folder, head = make_sources.hc18(tmp_path)
    [source] = hc18.find(folder)
    assert [(item.name, item.subject) for item in source.items] == [
        ("000_HC", "000"),
        ("001_2HC", "001"),
        ("001_HC", "001"),
        ("002_HC", "002"),
    ]
    [scan] = source.read(source.items[0])
    assert (scan.labels != head).mean() < 0.005
    assert scan.class_names == {1: "fetal head"}


def test_an_ellipse_that_leaves_the_image_is_filled():
    rows, columns = np.indices((60, 80))
    distance = np.hypot((rows - 20) / 35, (columns - 45 + 0.3 * rows) / 30)  # tilted, cut at the top
    outline = np.abs(distance - 1) < 0.03
    outline[40:50] = False  # and with a gap
    assert (hc18.fill_ellipse(outline) != (distance <= 1)).mean() < 0.005


@pytest.mark.parametrize("outline", [np.zeros((20, 20)), np.eye(20), np.tri(20, k=-18)])
def test_what_is_no_ellipse_is_refused(tmp_path, outline):
    folder, _ = make_sources.hc18(tmp_path)
    make_sources.save(folder / "training_set" / "000_HC.png", np.zeros((20, 20)))
    make_sources.save(folder / "training_set" / "000_HC_Annotation.png", 255 * outline)
    [source] = hc18.find(folder)
    with pytest.raises(InputError, match=r"000_HC_Annotation\.png: is not the outline of an ellipse"):
        source.read(source.items[0])


def test_bbbc038_merges_nuclei(tmp_path):
    folder = make_sources.bbbc038(tmp_path)
    [source] = bbbc038.find(folder)
    [scan] = source.read(source.items[1])
    disks = [make_sources.disk(40, 48, centre=(13, column), radius=5) for column in (12, 34)]
    np.testing.assert_array_equal(scan.labels, disks[0] | disks[1])
    assert scan.class_names == {1: "nucleus"}
    assert source.licence == "CC0"
    (folder / "stage1_train" / source.items[2].name / "images" / f"{source.items[2].name}.png").unlink()
    assert "needs images/" in bbbc038.find(folder)[0].items[2].problem
