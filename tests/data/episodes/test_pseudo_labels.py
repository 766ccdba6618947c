import dataclasses

import numpy as np
import pytest
from skimage.segmentation import felzenszwalb

from tests.helpers.stacks import stack
from universeg_jax.data.episodes import pseudo_labels as module
from universeg_jax.data.episodes.pseudo_labels import (
    PseudoLabelConfig,
    PseudoLabelStore,
    foreground_mask,
    pseudo_labels,
)
from universeg_jax.errors import InputError

SMALL = PseudoLabelConfig(min_size=10)


def scan(**changes):
    """A scan with a dark rim of 2 pixels around the patient."""
    one = stack("a", size=24)
    images = one.images.copy()
    images[:, [0, 1, -2, -1]] = 0
    images[:, :, [0, 1, -2, -1]] = 0
    return dataclasses.replace(one, images=images, **changes)


def test_superpixels_are_those_of_felzenszwalb_inside_the_patient():
    one = scan()
    labels = pseudo_labels(one, SMALL)
    inside = foreground_mask(one.images, 0.1)
    for z in (0, 4):
        expected = felzenszwalb(255 * one.images[z].astype(np.float64), scale=1, sigma=1, min_size=10)
        np.testing.assert_array_equal(labels[z][inside[z]], 1 + expected[inside[z]])
        assert not labels[z][~inside[z]].any()


def test_the_foreground_is_the_largest_body_without_holes():
    images = np.zeros((2, 12, 12), np.float32)
    images[0, 2:9, 2:9] = 1
    images[0, 5, 5] = 0
    images[0, 11, 11] = 1
    found = foreground_mask(images, 0.5)
    assert found[0, 2:9, 2:9].all()
    assert found[0].sum() == 49
    assert not found[1].any()


def test_supervoxels_reach_over_slices():
    one = scan()
    labels = pseudo_labels(one, dataclasses.replace(SMALL, supervoxels=True, supervoxel_volume=0.5))
    inside = foreground_mask(one.images, 0.1)
    assert (labels > 0).sum() == inside.sum()
    values = np.unique(labels[labels > 0])
    assert len(values) > 3
    slices = [len(np.unique(np.nonzero(labels == value)[0])) for value in values]
    assert np.mean(slices) > 2


def test_an_empty_scan_has_no_labels():
    empty = dataclasses.replace(scan(), images=np.zeros((3, 8, 8), np.float32))
    for supervoxels in (False, True):
        assert not pseudo_labels(empty, dataclasses.replace(SMALL, supervoxels=supervoxels)).any()


def test_labels_are_computed_once(tmp_path, monkeypatch):
    one, store = scan(), PseudoLabelStore(tmp_path / "labels", SMALL)
    first = store.of(one)
    monkeypatch.setattr(module, "pseudo_labels", None)
    np.testing.assert_array_equal(PseudoLabelStore(tmp_path / "labels", SMALL).of(one), first)
    other = dataclasses.replace(SMALL, sigma=2.0)
    with pytest.raises(TypeError):  # other options are computed anew
        PseudoLabelStore(tmp_path / "labels", other).of(one)


def test_a_damaged_file_is_named(tmp_path):
    PseudoLabelStore(tmp_path, SMALL).of(scan())
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"no archive")
    with pytest.raises(InputError, match=rf"{file.name}: cannot be read"):
        PseudoLabelStore(tmp_path, SMALL).of(scan())


@pytest.mark.parametrize(
    "options", [{"scale": 0}, {"sigma": -1}, {"min_size": 0}, {"foreground": 1.0}, {"supervoxels": "yes"}]
)
def test_options_out_of_range(options):
    with pytest.raises(InputError, match=f"PseudoLabelConfig.{next(iter(options))}"):
        PseudoLabelConfig(**options)
