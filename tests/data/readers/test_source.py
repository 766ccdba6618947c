"""The dataset.json of nnU-Net and the Decathlon: regions, ignored pixels, byte order marks."""

import json

import numpy as np
import pytest

from tests.helpers.make_sources import nifti_pairs
from universeg_jax.data.corpus.slices import slices
from universeg_jax.data.readers.nifti import find
from universeg_jax.data.readers.source import read_dataset_json
from universeg_jax.errors import InputError

CHANNEL = {"channel_names": {"0": "MR"}}


def write(folder, **about):
    (folder / "dataset.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(about).encode())
    return folder / "dataset.json"


def test_without_a_file_everything_is_empty(tmp_path):
    about = read_dataset_json(tmp_path / "dataset.json")
    assert (about.channels, about.class_names, about.regions, about.ignore) == ((), {}, {}, None)


@pytest.mark.parametrize("labels", [{"0": "background", "1": "a", "3": "b"}, {"background": 0, "b": 3, "a": 1}])
def test_both_ways_of_naming_labels(tmp_path, labels):
    about = read_dataset_json(write(tmp_path, labels=labels, licence="CC0", modality={"1": "MRI", "0": "CT"}))
    assert (about.class_names, about.regions) == ({1: "a", 3: "b"}, {})
    assert (about.channels, about.licence) == (("CT", "MR"), "CC0")


@pytest.mark.parametrize("labels", [{"a": "one"}, {"a": []}, {"a": [1, "x"]}, {"a": 1.5}])
def test_labels_that_are_no_numbers_are_refused(tmp_path, labels):
    with pytest.raises(InputError, match=r"dataset\.json: the label 'a' must be a number"):
        read_dataset_json(write(tmp_path, labels=labels))


def test_regions_are_unions_of_labels_and_may_overlap(tmp_path):
    folder = nifti_pairs(tmp_path, 1)  # a ball of 2 in a ball of 1
    write(folder, labels={"background": 0, "whole": [1, 2], "core": 2}, **CHANNEL)
    [source] = find(folder)
    [scan] = source.scans(source.items[0])
    assert scan.class_names == {1: "whole", 2: "core"}
    assert scan.classes == [1, 2]
    axial = [piece for piece in slices(scan, "scan") if piece.axis == "axial"]
    for piece in axial:
        _, whole, core = np.moveaxis(piece.planes, -1, 0)
        assert (whole >= core).all()
    assert sum(piece.planes[..., 1].sum() for piece in axial) > sum(piece.planes[..., 2].sum() for piece in axial) > 0
    areas = (scan.labels > 0).sum((0, 1))
    assert max(piece.planes[..., 1].sum() for piece in axial) == areas.max()


def test_a_region_that_is_not_shown_is_no_class_of_a_scan(tmp_path):
    folder = nifti_pairs(tmp_path, 1)
    write(folder, labels={"whole": [1, 2], "other": [5, 6]}, **CHANNEL)
    [source] = find(folder)
    assert source.scans(source.items[0])[0].classes == [1]


def test_scans_with_ignored_pixels_are_refused(tmp_path):
    folder = nifti_pairs(tmp_path, 1)
    write(folder, labels={"background": 0, "ball": 1, "ignore": 2}, **CHANNEL)
    [source] = find(folder)
    assert source.items[0].problem == ""
    with pytest.raises(InputError, match=r"scan_000\.nii\.gz: \d+ pixels have the value 2, which dataset\.json names"):
        source.scans(source.items[0])
    write(folder, labels={"background": 0, "ball": 1, "inner": 2, "ignore": 3}, **CHANNEL)
    [source] = find(folder)
    assert source.scans(source.items[0])[0].classes == [1, 2]
