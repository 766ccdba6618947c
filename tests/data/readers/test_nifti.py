import dataclasses
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK

from tests.helpers.make_sources import ball, nifti, nifti_pairs
from universeg_jax.data.readers.nifti import find
from universeg_jax.errors import InputError
from universeg_jax.io.nifti import read_nifti
from universeg_jax.io.volumes import Volume

DECATHLON = {
    "name": "Hippocampus",
    "licence": "CC-BY-SA 4.0",
    "release": "1.0 04/05/2018",
    "modality": {"0": "MRI"},
    "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
}


def test_decathlon_folder_of_tasks(tmp_path):
    nifti_pairs(tmp_path / "Task04_Hippocampus", 2, **DECATHLON)
    nifti_pairs(tmp_path / "Task01_BrainTumour", 1, channels=2, modality={"1": "T1w", "0": "FLAIR"}, labels={"1": "a"})
    brain, hippocampus = find(tmp_path)
    assert hippocampus.name == "decathlon_task04_hippocampus"
    assert (hippocampus.licence, hippocampus.version) == ("CC-BY-SA 4.0", "1.0 04/05/2018")
    assert [item.name for item in hippocampus.items] == ["scan_000", "scan_001"]
    [scan] = hippocampus.read(hippocampus.items[0])
    assert (scan.modality, scan.spacing, scan.image.shape) == ("MR", (1, 1, 2), (20, 24, 12))
    assert scan.class_names == {1: "Anterior", 2: "Posterior"}
    flair, t1 = brain.read(brain.items[0])
    assert (flair.modality, t1.modality) == ("FLAIR", "T1w")
    stored = read_nifti(tmp_path / "Task01_BrainTumour" / "imagesTr" / "scan_000.nii.gz").voxels
    np.testing.assert_array_equal(t1.image, stored[..., 1])


def test_nnunet_layout(tmp_path):
    for channel in range(2):
        nifti(tmp_path / "imagesTr" / f"p1_000{channel}.nii.gz", np.full((9, 9, 9), channel, np.float32))
    nifti(tmp_path / "labelsTr" / "p1.nii.gz", ball((9, 9, 9), centre=(4, 4, 4), radius=2).astype(np.uint8))
    (tmp_path / "dataset.json").write_text(
        '{"channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "gland": 1}}'
    )
    [source] = find(tmp_path)
    scans = source.read(source.items[0])
    assert [(scan.modality, scan.image.max()) for scan in scans] == [("T2", 0), ("ADC", 1)]
    assert scans[0].class_names[1] == "gland"


def test_plain_pairs_need_a_modality(tmp_path):
    nifti_pairs(tmp_path, 1)
    with pytest.raises(InputError, match="pass --modality CT, or MR"):
        find(tmp_path)
    [source] = find(tmp_path, "CT")
    assert source.read(source.items[0])[0].modality == "CT"


def test_scale_and_orientation_of_the_header_are_applied(tmp_path):
    labels = ball((10, 12, 14), centre=(2, 4, 9), radius=2).astype(np.int16)
    flipped = np.diag([-1.5, 2.0, 3.0, 1.0])
    flipped[0, 3] = 20
    image = nibabel.Nifti1Image(labels, flipped)
    image.header.set_slope_inter(10, -1000)
    (tmp_path / "images").mkdir()
    nibabel.save(image, tmp_path / "images" / "a.nii")
    turned = np.zeros((4, 4))  # the same places, stored with axes in another order
    turned[:, 0], turned[:, 1], turned[:, 2], turned[:, 3] = (flipped[:, k] for k in (2, 0, 1, 3))
    nifti(tmp_path / "masks" / "a.nii.gz", labels.transpose(2, 0, 1), affine=turned)
    [source] = find(tmp_path, "CT")
    [scan] = source.read(source.items[0])
    np.testing.assert_array_equal(scan.labels, labels[::-1])
    np.testing.assert_allclose(scan.image, 10.0 * labels[::-1] - 1000)
    assert scan.spacing == (1.5, 2, 3)


def broken(tmp_path, mask=None, affine=None, image=None):
    nifti(tmp_path / "images" / "a.nii.gz", np.ones((9, 9, 9), np.float32) if image is None else image)
    mask = np.ones((9, 9, 9), np.uint8) if mask is None else mask
    nifti(tmp_path / "masks" / "a.nii.gz", mask, affine=affine)
    [source] = find(tmp_path, "CT")
    return source.read(source.items[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.ones((9, 9, 8), np.uint8)}, r"is \(9, 9, 8\), but the image"),
        ({"affine": np.diag([1, 1, 3.0, 1])}, r"lies 8 mm from the image"),
        ({"mask": np.full((9, 9, 9), 0.5, np.float32)}, "whole numbers"),
        ({"image": np.full((9, 9, 9), np.nan, np.float32)}, "729 of 729 voxels are NaN"),
        ({"image": np.ones((9, 9, 9, 2), np.float32)}, r"has 2 channels, not 1 \(CT\)"),
        ({"image": np.ones((9, 9), np.float32)}, r"shape \(9, 9\)"),
    ],
)
def test_volumes_that_do_not_fit_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        broken(tmp_path, **change)


@pytest.mark.parametrize("last", [0.0, np.nan, np.inf])
def test_voxels_without_size_are_refused(last):
    with pytest.raises(InputError, match=r"x: its header gives voxels the sizes \[1\.0, 1\.0, "):
        Volume("x", np.ones((4, 4, 4)), np.diag([1, 1, last, 1])).upright()


@pytest.mark.parametrize("length", [0, 20, 400, 900])
def test_damaged_files_are_refused(tmp_path, length):
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    file = nifti(tmp_path / "a.nii.gz", noise)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(InputError, match=r"a\.nii\.gz: cannot be read"):
        read_nifti(file)


def test_a_hostile_size_is_refused_before_it_is_read(tmp_path):
    file = nifti(tmp_path / "a.nii", np.ones((4, 4, 4), np.uint8))
    header = bytearray(file.read_bytes())
    header[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    file.write_bytes(header)
    with pytest.raises(InputError, match="30000x30000x30000 voxels; at most"):
        read_nifti(file)


def test_bad_dataset_json_is_refused(tmp_path):
    nifti_pairs(tmp_path, 1, modality="MRI")
    with pytest.raises(InputError, match=r"dataset\.json"):
        find(tmp_path)


def test_only_the_decathlon_is_taken_for_it(tmp_path):
    nifti_pairs(tmp_path / "Task27_ACDC", 1, modality={"0": "MRI"})
    [source] = find(tmp_path)
    assert (source.name, source.kind, source.origin, source.licence) == ("Task27_ACDC", "nifti", "", "")
    assert not source.subjects_known


@pytest.mark.parametrize("about", ['{"channel_names": ["CT"]}', '{"modality": {"a": "CT"}}'])
def test_channels_without_numbers_are_refused(tmp_path, about):
    nifti_pairs(tmp_path, 1)
    (tmp_path / "dataset.json").write_text(about)
    with pytest.raises(InputError, match=r"dataset\.json: (must be a table|modality must number the channels)"):
        find(tmp_path)


def test_more_values_than_classes_are_refused_or_joined(tmp_path):
    folder = nifti_pairs(tmp_path, 1, modality={"0": "MR"})
    many = np.arange(20 * 24 * 12).reshape(20, 24, 12) % 90
    nifti(folder / "labelsTr" / "scan_000.nii.gz", many.astype(np.uint8))
    [source] = find(folder)
    with pytest.raises(InputError, match=r"scan_000\.nii\.gz: has 89 different values .*--one-class"):
        source.scans(source.items[0])
    joined = replace(source, one_class="cell")
    assert joined.scans(joined.items[0])[0].classes == [1]


@pytest.mark.parametrize(("image", "mask"), [("img{}", "label{}"), ("case{}", "case{}_seg")])
def test_masks_with_a_prefix_or_suffix_belong_to_their_images(tmp_path, image, mask):
    folder = nifti_pairs(tmp_path, 2, modality={"0": "MR"})
    for i in range(2):
        for place, name in (("imagesTr", image), ("labelsTr", mask)):
            file = folder / place / f"scan_{i:03d}.nii.gz"
            file.rename(file.with_name(f"{name.format(f'{i:04d}')}.nii.gz"))
    [source] = find(folder)
    assert [item.problem for item in source.items] == ["", ""]
    assert [item.name for item in source.items] == [image.format(f"{i:04d}") for i in range(2)]
    assert source.scans(source.items[1])[0].classes == [1, 2]


def test_instances_of_a_volume_become_one_class(tmp_path):
    ids = np.arange(729).reshape(9, 9, 9).astype(np.uint16) % 90
    nifti(tmp_path / "images" / "a.nii.gz", np.ones((9, 9, 9), np.float32))
    nifti(tmp_path / "masks" / "a.nii.gz", ids)
    [source] = find(tmp_path, "CT")
    with pytest.raises(InputError, match=r"a\.nii\.gz.* 90|a\.nii\.gz.* 89"):
        source.scans(source.items[0])
    [scan] = dataclasses.replace(source, one_class="cell").scans(source.items[0])
    np.testing.assert_array_equal(scan.labels, ids > 0)


def test_volumes_of_other_formats_are_pairs_too(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        voxels = np.ones((5, 6, 7), np.int16 if folder == "images" else np.uint8)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(tmp_path / folder / "a.nrrd"))
    [source] = find(tmp_path, "CT")
    [scan] = source.scans(source.items[0])
    assert scan.image.shape == scan.labels.shape == (7, 6, 5)
