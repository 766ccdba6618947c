"""The layouts of the few-shot benchmarks: SSL-ALPNet's, SABS, CHAOS and the polyp sets."""

import json

import numpy as np
import pytest

from tests.helpers.make_sources import ball, dicom_series, nifti, save
from tests.helpers.stacks import stack, write_alpnet
from universeg_jax.data.readers import alpnet, btcv, chaos, polyps
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.errors import InputError

SHAPE = (16, 20, 6)  # rows, columns, slices


def test_alpnet(tmp_path):
    write_alpnet(tmp_path / "scans", [stack("2"), stack("10")])
    about = {"channel_names": {"0": "MR"}, "labels": {"1": "liver", "2": "spleen"}, "licence": "private"}
    (tmp_path / "scans" / "dataset.json").write_text(json.dumps(about))
    [source] = find_sources(tmp_path / "scans")
    assert (source.kind, source.licence, source.subjects_known) == ("alpnet", "private", True)
    assert [item.name for item in source.items] == ["10", "2"]
    [scan] = source.read(source.items[0])
    assert scan.modality == "MR"
    assert scan.class_names == {1: "liver", 2: "spleen"}
    assert np.unique(scan.labels).tolist() == [0, 1, 2]


def test_alpnet_needs_a_modality(tmp_path):
    write_alpnet(tmp_path, [stack("2")])
    with pytest.raises(InputError, match="pass --modality CT, or MR"):
        alpnet.find(tmp_path)
    assert alpnet.find(tmp_path, "CT")[0].read.keywords["channels"] == ("CT",)


def test_btcv(tmp_path):
    labels = 6 * ball(SHAPE, centre=(5, 12, 2), radius=3).astype(np.int16)
    nifti(tmp_path / "img" / "img0003.nii.gz", 100 * labels - 500)
    nifti(tmp_path / "label" / "label0003.nii.gz", labels)
    [source] = find_sources(tmp_path)
    assert (source.kind, [item.name for item in source.items]) == ("btcv", ["0003"])
    [scan] = source.read(source.items[0])
    assert (scan.modality, scan.class_names[6], scan.class_names[1]) == ("CT", "liver", "spleen")
    assert np.unique(scan.labels).tolist() == [0, 6]
    assert not btcv.matches(tmp_path / "img")


@pytest.fixture
def patient(tmp_path):
    """A patient as CHAOS has them: masks are named like the DICOM files."""
    labels = 63 * ball(SHAPE, centre=(5, 12, 2), radius=3).astype(np.int16)
    folder = tmp_path / "Train_Sets" / "MR" / "13" / "T2SPIR"
    dicom_series(folder / "DICOM_anon", labels, shuffle=False, Modality="MR")
    (folder / "Ground").mkdir()
    files = sorted((folder / "DICOM_anon").iterdir())
    for number, file in enumerate(files):
        file.rename(file.with_name(f"IMG-0004-{number + 1:05d}.dcm"))
        save(folder / "Ground" / f"IMG-0004-{number + 1:05d}.png", labels[..., number].astype(np.uint8))
    return tmp_path, labels


@pytest.mark.parametrize("place", [".", "Train_Sets", "Train_Sets/MR"])
def test_chaos(patient, place):
    root, labels = patient
    [source] = find_sources(root / place)
    assert (source.kind, [item.name for item in source.items]) == ("chaos", ["13"])
    [scan] = source.read(source.items[0])
    assert (scan.modality, scan.class_names[63], scan.class_names[252]) == ("MR", "liver", "spleen")
    assert (scan.labels > 0).sum() == (labels > 0).sum()
    np.testing.assert_array_equal(scan.image, scan.labels)


def test_chaos_patients_without_masks_are_named(patient):
    root, _ = patient
    (root / "Train_Sets" / "MR" / "20" / "T2SPIR" / "DICOM_anon").mkdir(parents=True)
    [source] = chaos.find(root)
    assert "holds no .dcm files" in source.items[1].problem


def test_polyps(tmp_path):
    rng = np.random.default_rng(0)
    for place in ("TrainDataset", "TestDataset/Kvasir"):
        for part in ("images", "masks"):
            (tmp_path / place / part).mkdir(parents=True)
        for name in ("1", "2"):
            mask = np.zeros((20, 24), np.uint8)
            mask[5:12, 6:15] = 255
            mask[5, 6:15] = 3  # a soft edge
            save(tmp_path / place / "images" / f"{name}.png", rng.integers(0, 255, (20, 24, 3), dtype=np.uint8))
            save(tmp_path / place / "masks" / f"{name}.png", mask)
    train, kvasir = find_sources(tmp_path)
    assert (train.name, kvasir.name) == ("polyps_train", "polyps_kvasir")
    [scan] = kvasir.read(kvasir.items[0])
    assert scan.class_names == {1: "polyp"}
    assert scan.labels.sum() == 6 * 9
    assert scan.spacing is None


def test_polyps_on_kaggle(tmp_path):
    for part in ("images", "masks"):
        folder = tmp_path / "TestDataset" / "test" / part / "CVC-300"
        folder.mkdir(parents=True)
        save(folder / "1.png", np.eye(8, dtype=np.uint8) * 255)
    [source] = polyps.find(tmp_path)
    assert (source.name, [item.name for item in source.items]) == ("polyps_CVC-300", ["1"])
    (tmp_path / "empty" / "TestDataset").mkdir(parents=True)
    with pytest.raises(InputError, match="needs TrainDataset/images and masks"):
        polyps.find(tmp_path / "empty")
