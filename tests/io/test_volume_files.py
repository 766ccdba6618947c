"""Files of volumes of every format: what is written is read back in its place."""

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile

from tests.helpers.make_sources import dicom_series, nifti
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.volume_files import (
    list_volume_files,
    list_volumes,
    output_ending,
    read_label_volume,
    read_volume,
    structure_names,
    write_label_volume,
)
from universeg_jax.io.volumes import Volume

SHAPE = (4, 5, 6)
VOXELS = np.arange(120).reshape(SHAPE).astype(np.int16)
AFFINE = np.array([[0, -1.5, 0, 3], [2.0, 0, 0, -7], [0, 0, 3, 11], [0, 0, 0, 1]])


def itk(path, voxels=VOXELS):
    """Write a turned volume by SimpleITK, whose place is `AFFINE`."""
    image = SimpleITK.GetImageFromArray(voxels.transpose(2, 1, 0))
    lps = np.diag([-1, -1, 1, 1]) @ AFFINE
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nhdr", "a.mhd", "a.nii.gz", "a.nii"])
def test_volumes_are_read_in_their_place_and_masks_written_there(tmp_path, name):
    file = itk(tmp_path / name)
    volume = read_volume(file)
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)
    labels = (VOXELS > 60).astype(np.uint8)
    out = tmp_path / f"mask{output_ending(file)}"
    write_label_volume(out, labels, volume)
    image, mask = SimpleITK.ReadImage(str(file)), SimpleITK.ReadImage(str(out))
    for place in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(mask, place)() == pytest.approx(getattr(image, place)(), abs=1e-6)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(mask).transpose(2, 1, 0), labels)
    np.testing.assert_array_equal(read_label_volume(out, volume)[0].voxels, labels)


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1000), ("micron", 0.001), ("mm", 1)])
def test_units_of_nifti_become_millimetres(tmp_path, unit, scale):
    image = nibabel.Nifti1Image(VOXELS, np.diag([2.0, 3, 4, 1]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.spacing == pytest.approx((2 * scale, 3 * scale, 4 * scale))
    write_label_volume(tmp_path / "b.nii", (VOXELS > 5).astype(np.uint8), volume)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "b.nii").affine, image.affine)
    assert nibabel.load(tmp_path / "b.nii").header.get_xyzt_units()[0] == unit


def test_the_headers_of_a_scan_and_its_mask_agree_to_the_last_bit(tmp_path):
    image = nibabel.Nifti1Image(VOXELS, None)
    image.set_qform(AFFINE, 1)
    image.set_sform(AFFINE + 1e-4, 3)
    image.header.set_slope_inter(2.0, -5.0)
    nibabel.save(image, tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.voxels, 2.0 * VOXELS - 5)
    write_label_volume(tmp_path / "b.nii.gz", (VOXELS % 3).astype(np.uint8), volume)
    before, after = nibabel.load(tmp_path / "a.nii.gz").header, nibabel.load(tmp_path / "b.nii.gz").header
    for key in (
        "qform_code",
        "sform_code",
        "pixdim",
        "quatern_b",
        "quatern_c",
        "quatern_d",
        "srow_x",
        "srow_y",
        "srow_z",
    ):
        np.testing.assert_array_equal(before[key], after[key])
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "b.nii.gz").dataobj), VOXELS % 3)


def test_axes_of_length_one_are_dropped(tmp_path):
    assert read_volume(nifti(tmp_path / "a.nii", VOXELS[..., None], affine=AFFINE)).shape == SHAPE
    five = nifti(tmp_path / "b.nii", np.stack([VOXELS, VOXELS + 1], -1)[:, :, :, None], affine=AFFINE)
    np.testing.assert_array_equal(read_volume(five, channel=1).voxels, VOXELS + 1)
    with pytest.raises(InputError, match=r"\(4, 5, 6, 2\), so 2 values per voxel; choose one with --channel"):
        read_volume(five)
    with pytest.raises(InputError, match=r"shape \(4, 5, 6, 2, 3\)"):
        read_volume(nifti(tmp_path / "c.nii", np.zeros((*SHAPE, 2, 3), np.uint8), affine=np.eye(4)))


def test_two_volumes_of_one_name_are_refused(tmp_path):
    nifti(tmp_path / "a.nii", VOXELS)
    nifti(tmp_path / "a.nii.gz", VOXELS)
    for find in (list_volumes, list_volume_files):
        with pytest.raises(InputError, match=r"a\.nii and a\.nii\.gz have one name"):
            find(tmp_path)


def test_stacks_keep_their_pages_and_distances(tmp_path):
    pages = VOXELS.astype(np.uint16).transpose(2, 1, 0)
    about = {"spacing": 0.5, "unit": "um", "axes": "ZYX"}
    tifffile.imwrite(tmp_path / "a.tif", pages, imagej=True, resolution=(4, 5), metadata=about)
    volume = read_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.spacing == pytest.approx((0.25e-3, 0.2e-3, 0.5e-3))
    write_label_volume(tmp_path / "b.tif", (VOXELS > 60).astype(np.uint8), volume)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), pages > 60)
    assert read_volume(tmp_path / "b.tif").spacing == pytest.approx(volume.spacing, rel=1e-4)
    assert list(list_volumes(tmp_path)) == ["a", "b"]
    tifffile.imwrite(tmp_path / "one.tif", pages[0])
    assert list(list_volumes(tmp_path)) == ["a", "b"]  # a single page is a picture


def test_one_file_per_structure(tmp_path):
    image = read_volume(nifti(tmp_path / "image.nii.gz", VOXELS, affine=AFFINE))
    for subject, names in (("s1", {"spleen": 100, "liver": 20}), ("s2", {"spleen": 110})):
        for name, above in names.items():
            nifti(tmp_path / subject / f"{name}.nii.gz", (above < VOXELS).astype(np.uint8), affine=AFFINE)
    assert structure_names(tmp_path / "s1") == ["liver", "spleen"]
    with pytest.warns(SegmentationWarning, match=r"structures overlap in 19 voxels; the later name wins"):
        found, names = read_label_volume(tmp_path / "s1", image)
    np.testing.assert_array_equal(found.voxels, np.where(VOXELS > 100, 2, VOXELS > 20))
    assert names == {1: "liver", 2: "spleen"}
    found, _ = read_label_volume(tmp_path / "s2", image, structures=["liver", "spleen"])
    np.testing.assert_array_equal(found.voxels, 2 * (VOXELS > 110))


def test_names_of_slicers_segments_are_read(tmp_path):
    labels = SimpleITK.GetImageFromArray((VOXELS % 3).astype(np.uint8).transpose(2, 1, 0))
    for key, value in {"Segment0_LabelValue": "2", "Segment0_Name": "tumour"}.items():
        labels.SetMetaData(key, value)
    SimpleITK.WriteImage(labels, str(tmp_path / "a.seg.nrrd"))
    found, names = read_label_volume(tmp_path / "a.seg.nrrd", read_volume(tmp_path / "a.seg.nrrd"))
    assert names == {2: "tumour"}
    np.testing.assert_array_equal(found.voxels, VOXELS % 3)


def test_a_segmentation_that_slicer_cropped_is_filled_up(tmp_path):
    image = Volume("scan", VOXELS, np.diag([-1.0, 2.0, 3.0, 1.0]))
    box = np.ones((2, 3, 4), np.uint8)
    corner = np.array(image.affine)
    corner[:3, 3] += corner[:3, :3] @ (1, 2, 0)
    write_label_volume(tmp_path / "a.seg.nrrd", box, Volume("box", box, corner))
    expected = np.zeros(VOXELS.shape)
    expected[1:3, 2:5, 0:4] = 1
    np.testing.assert_array_equal(read_label_volume(tmp_path / "a.seg.nrrd", image)[0].voxels, expected)
    corner[0, 3] += 0.4
    write_label_volume(tmp_path / "b.seg.nrrd", box, Volume("box", box, corner))
    write_label_volume(tmp_path / "c.nrrd", box, Volume("box", box, image.affine))
    for name in ("b.seg.nrrd", "c.nrrd"):
        with pytest.raises(InputError, match=r"is \(2, 3, 4\), but the image scan is \(4, 5, 6\)"):
            read_label_volume(tmp_path / name, image)


def test_series_in_folders_are_volumes(tmp_path):
    planes = VOXELS.transpose(1, 0, 2)
    dicom_series(tmp_path / "p1", planes)
    dicom_series(tmp_path / "p2" / "t1", planes)
    dicom_series(tmp_path / "p2" / "t2", planes + 1)
    nifti(tmp_path / "q.nii.gz", VOXELS)
    found = list_volumes(tmp_path)
    assert list(found) == ["p1", "p2_t1", "p2_t2", "q"]
    np.testing.assert_array_equal(read_volume(found["p2_t2"]).voxels, planes + 1)
    assert output_ending(found["p1"]) == ".nii.gz"


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.tif"])
@pytest.mark.parametrize("length", [0, 30, 200])
def test_damaged_files_are_refused(tmp_path, name, length):
    file = tmp_path / name
    if name == "a.tif":
        tifffile.imwrite(file, VOXELS.astype(np.uint16), imagej=True)
    else:
        itk(file)
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(InputError, match=rf"{name}: "):
        read_volume(file)


def test_a_header_that_promises_more_than_the_file_is_refused(tmp_path):
    itk(tmp_path / "a.mha")
    text = (tmp_path / "a.mha").read_bytes().replace(b"DimSize = 4 5 6", b"DimSize = 999 999 999")
    (tmp_path / "a.mha").write_bytes(text)
    with pytest.raises(InputError, match="promises 999x999x999 voxels, but the file has only"):
        read_volume(tmp_path / "a.mha")
