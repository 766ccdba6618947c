"""Files of MedSegBench: splits of their own, colour images, categories."""

import numpy as np
import pytest

from tests.helpers.make_sources import npz
from universeg_jax.data.corpus.select import split_items
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.errors import InputError

RANDOM = np.random.default_rng(0)


def arrays(counts=(3, 1, 2), *, colour=False, category=""):
    made = {}
    for split, number in zip(("train", "val", "test"), counts, strict=True):
        shape = (number, 8, 8, 3) if colour else (number, 8, 8)
        made[f"{split}_images{category}"] = RANDOM.integers(0, 256, shape).astype(np.uint8)
        made[f"{split}_label{category}"] = RANDOM.integers(0, 2, shape[:3]).astype(np.uint8)
    return made


def test_images_keep_their_splits(tmp_path):
    stored = arrays()
    np.savez_compressed(tmp_path / "busi_128.npz", **stored)
    [source] = find_sources(tmp_path)
    assert (source.name, source.kind, len(source.items)) == ("busi_128", "medsegbench", 6)
    splits = split_items(source.items, dataset=source.name)
    assert [splits[item.subject] for item in source.items] == ["train"] * 3 + ["validation"] + ["test"] * 2
    for item, split, i in zip(source.items, ("train",) * 3 + ("val",) + ("test",) * 2, (0, 1, 2, 0, 0, 1), strict=True):
        [scan] = source.scans(item)
        np.testing.assert_array_equal(scan.image, stored[f"{split}_images"][i])
        np.testing.assert_array_equal(scan.labels, stored[f"{split}_label"][i])


def test_colour_becomes_luminance(tmp_path):
    stored = arrays(colour=True)
    np.savez(tmp_path / "kvasir_128.npz", **stored)
    (tmp_path / "kvasir_128.json").write_text('{"classes": ["background", "polyp"], "modality": "endoscopy"}')
    [source] = find_sources(tmp_path / "kvasir_128.npz")
    [scan] = source.scans(source.items[4])
    np.testing.assert_allclose(scan.image, stored["test_images"][0] @ [0.299, 0.587, 0.114], rtol=1e-6)
    assert (scan.class_names[1], scan.modality) == ("polyp", "endoscopy")


def test_categories_are_datasets_that_may_share_images(tmp_path):
    stored = (
        arrays() | {k: v for k, v in arrays(category="_C1").items() if "label" in k} | arrays((2, 1, 1), category="_C2")
    )
    np.savez(tmp_path / "idrib_128.npz", **stored)
    whole, one, two = find_sources(tmp_path)
    assert [source.name for source in (whole, one, two)] == ["idrib_128", "idrib_128_c1", "idrib_128_c2"]
    assert [len(source.items) for source in (whole, one, two)] == [6, 6, 4]
    np.testing.assert_array_equal(one.scans(one.items[1])[0].image, stored["train_images"][1])
    np.testing.assert_array_equal(one.scans(one.items[1])[0].labels, stored["train_label_C1"][1])
    np.testing.assert_array_equal(two.scans(two.items[3])[0].image, stored["test_images_C2"][0])


def test_other_shapes_and_missing_images_are_refused(tmp_path):
    stored = arrays()
    np.savez(tmp_path / "a.npz", **stored | {"val_label": np.zeros((1, 8, 7), np.uint8)})
    with pytest.raises(InputError, match=r"a\.npz: val_images is \(1, 8, 8\), val_label is \(1, 8, 7\)"):
        find_sources(tmp_path)
    np.savez(tmp_path / "a.npz", **{k: v for k, v in stored.items() if k != "test_images"})
    with pytest.raises(InputError, match=r"a\.npz: holds test_label, but no test_images"):
        find_sources(tmp_path)


def test_other_npz_files_are_not_taken_for_it(tmp_path):
    npz(tmp_path / "set.npz", 2)
    assert [source.kind for source in find_sources(tmp_path)] == ["npz"]
