import numpy as np
import pytest

from tests.helpers.make_sources import npz
from universeg_jax.data.readers.npz import find
from universeg_jax.errors import InputError


def test_reads_images_classes_and_origin(tmp_path):
    npz(tmp_path / "b.npz", 3)
    npz(tmp_path / "a.npz", 2, ids=["p", "p"], source="me@1", licence=["CC0", "really"], modality="CT")
    first, second = find(tmp_path)
    assert (first.name, first.origin, first.licence, first.subjects_known) == ("a", "me@1", "CC0; really", True)
    assert (second.name, second.subjects_known, len(second.items)) == ("b", False, 3)
    [scan] = first.read(first.items[1])
    assert (scan.modality, scan.class_names, scan.spacing) == ("CT", {0: "background", 1: "disk"}, None)
    with np.load(tmp_path / "a.npz") as stored:
        np.testing.assert_array_equal(scan.image, stored["images"][1])
        np.testing.assert_array_equal(scan.labels, stored["labels"][1])


def test_one_file_without_json(tmp_path):
    npz(tmp_path / "a.npz", 2).with_suffix(".json").unlink()
    [source] = find(tmp_path / "a.npz", "US")
    assert source.read(source.items[0])[0].modality == "US"
    assert source.licence == ""


class Hostile:
    def __reduce__(self):
        return print, ("executed",)


ARRAYS = {"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros((2, 8, 8), np.uint8), "ids": np.array(["a", "b"])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": None}, "lacks the array ids"),
        ({"labels": np.zeros((2, 8, 9), np.uint8)}, r"labels \(2, 8, 9\)"),
        ({"images": np.zeros((2, 8, 8))}, "images are float64"),
        ({"ids": np.array([Hostile(), Hostile()])}, "ids are Python objects"),
    ],
)
def test_other_arrays_are_refused(tmp_path, capsys, change, message):
    arrays = {name: array for name, array in (ARRAYS | change).items() if array is not None}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        find(tmp_path)
    assert capsys.readouterr().out == ""


def test_damage_is_refused(tmp_path):
    file = npz(tmp_path / "a.npz", 4)
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match=r"a\.npz: cannot be read"):
        find(tmp_path)
