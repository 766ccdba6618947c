"""A DICOM series read as a volume: values, place, rounding of headers, and what is refused."""

import numpy as np
import pydicom
import pytest

from tests.helpers.make_sources import complete_series, dicom_frames, dicom_series, nifti, save
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.io.dicom_masks import read_series_masks, write_segmentation
from universeg_jax.io.dicom_series import Series, list_series, series_files
from universeg_jax.io.volume_files import read_label_volume, read_volume

SHAPE = (6, 8, 5)  # rows, columns, slices
VALUES = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.int16)


def series(folder, voxels=VALUES, **tags):
    dicom_series(folder, voxels, **tags)
    return folder


def change(folder, number, **tags):
    """Change tags of the slice at a height; positions are given as the height itself."""
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        if round((float(dataset.ImagePositionPatient[2]) - 5) / 3) == number:
            for tag, value in tags.items():
                setattr(dataset, tag, value)
            dataset.save_as(file, enforce_file_format=True)
            return file
    raise AssertionError(number)


def test_monochrome1_is_inverted_by_one_constant_of_the_series(tmp_path):
    about = dict(PhotometricInterpretation="MONOCHROME1", PixelRepresentation=0, BitsStored=12, Modality="MR")
    found = read_volume(series(tmp_path / "stored", **about)).voxels
    np.testing.assert_array_equal(found, 4095 - VALUES)
    found = read_volume(series(tmp_path / "rescaled", RescaleSlope=2, RescaleIntercept=10, **about)).voxels
    np.testing.assert_array_equal(found, (2 * VALUES.max() + 10) + 10 - (2 * VALUES + 10))


def test_hounsfield_units_are_never_inverted(tmp_path):
    about = dict(PhotometricInterpretation="MONOCHROME1", RescaleSlope=1, RescaleIntercept=-1024, Modality="CT")
    np.testing.assert_array_equal(read_volume(series(tmp_path / "a", **about)).voxels, VALUES - 1024)


def test_a_modality_lut_is_applied(tmp_path):
    table = pydicom.Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [256, 0, 16], "US"
    table.LUTData = np.arange(256, dtype="<u2")[::-1].tobytes()
    table["LUTData"].VR = "OW"
    folder = series(tmp_path / "a", PixelRepresentation=0, ModalityLUTSequence=[table], Modality="MR")
    np.testing.assert_array_equal(read_volume(folder).voxels, 255 - VALUES)


def test_gantry_tilt_shears_the_affine_and_right_masks_are_read(tmp_path):
    folder = series(tmp_path / "images" / "a")
    shift = 3 * np.tan(np.radians(20))
    for k in range(SHAPE[2]):
        change(folder, k, ImagePositionPatient=[-10.0, -20.0 + shift * k, 5.0 + 3 * k])
    tilted = Series(series_files(folder))
    assert tilted.tilt == pytest.approx(20, abs=0.01)
    affine = tilted.affine()
    np.testing.assert_allclose(affine[:3, 2], [0, -shift, 3], atol=1e-6)
    np.testing.assert_allclose(affine @ [0, 0, 4, 1], [10, 20 - 4 * shift, 17, 1], atol=1e-6)
    labels = (VALUES > 100).astype(np.uint8)
    file = nifti(tmp_path / "mask.nii.gz", labels, affine=affine)
    np.testing.assert_array_equal(read_label_volume(file, tilted.volume())[0].voxels, labels)


def test_slices_off_a_straight_line_are_refused_by_name(tmp_path):
    folder = series(tmp_path / "a")
    moved = change(folder, 2, ImagePositionPatient=[-10.0, -12.0, 11.0])
    with pytest.raises(InputError, match=rf"do not lie on a straight line: {moved.name} is 8 mm off it"):
        Series(series_files(folder))


def test_unequal_gaps_are_refused_where_they_are(tmp_path):
    folder = series(tmp_path / "a")
    names = [change(folder, k, ImagePositionPatient=[-10.0, -20.0, 5.0 + 3 * k]).name for k in range(5)]
    change(folder, 4, ImagePositionPatient=[-10.0, -20.0, 5.0 + 9 + 4])
    with pytest.raises(InputError, match=rf"lie 3 to 4 mm apart, 4 mm between {names[3]} and {names[4]}"):
        Series(series_files(folder))


@pytest.mark.parametrize("moved", [0.0, 1e-3, 0.05])
def test_rounded_positions_are_one_series(tmp_path, moved):
    folder = series(tmp_path / "a")
    change(folder, 2, ImagePositionPatient=[-10.0, -20.0, 11.0 + moved])
    np.testing.assert_allclose(Series(series_files(folder)).affine()[:3, 2], [0, 0, 3], atol=1e-6)


def test_rounded_directions_and_spacings_are_one_series(tmp_path):
    folder = series(tmp_path / "a", spacing=(0.703125, 0.703125, 3.0))
    change(folder, 1, ImageOrientationPatient=[1, 1e-7, 0, 0, 1, -1e-7])
    change(folder, 3, PixelSpacing=[0.703, 0.703])
    assert read_volume(folder).voxels.shape == SHAPE


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.9848, 0.1736]}, "ImageOrientationPatient is"),
        ({"PixelSpacing": [0.8, 0.7]}, r"PixelSpacing is .*\[0\.8, 0\.7\] in IM"),
        ({"PhotometricInterpretation": "MONOCHROME1", "Modality": "MR"}, "MONOCHROME1"),
        ({"ImagePositionPatient": ["nan", 0, 0]}, r"(ImagePositionPatient must be 3 numbers|cannot be read)"),
    ],
)
def test_real_differences_are_refused_by_name(tmp_path, tags, message):
    folder = series(tmp_path / "a", Modality="MR")
    change(folder, 2, **tags)
    with pytest.raises(InputError, match=message):
        Series(series_files(folder))


def test_files_without_preamble_in_folders_of_patients(tmp_path):
    folder = series(tmp_path / "patient" / "series")
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        bare = pydicom.Dataset(dataset)
        bare.save_as(file, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert file.read_bytes()[128:132] != b"DICM"
    found = list_series(tmp_path)
    assert list(found) == ["patient_series"]
    np.testing.assert_array_equal(Series(found["patient_series"]).pixels(), VALUES)


def pictures(folder, names):
    for name, plane in names.items():
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / f"{name}.png", plane)
    return folder


def rename_by_uid(folder):
    """Name files as archives do, so that their order has no meaning. Return the instance at each height."""
    for file in list(folder.iterdir()):
        dataset = pydicom.dcmread(file)
        dataset.InstanceNumber = round((float(dataset.ImagePositionPatient[2]) - 5) / 3) + 1
        dataset.save_as(folder / f"{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)
        file.unlink()


def test_masks_as_pictures_are_paired_by_instance_number_with_a_warning(tmp_path):
    folder = series(tmp_path / "a")
    rename_by_uid(folder)
    planes = {f"{k + 1:03d}": np.full(SHAPE[:2], k + 1) for k in range(SHAPE[2])}
    masks = pictures(tmp_path / "masks", planes)
    with pytest.warns(SegmentationWarning, match="paired by InstanceNumber"):
        found, _ = read_series_masks(masks, read_volume(folder))
    assert [np.unique(found.voxels[..., k]).tolist() for k in range(5)] == [[1], [2], [3], [4], [5]]


def test_masks_as_pictures_are_paired_by_stem(tmp_path):
    folder = series(tmp_path / "a")
    rename_by_uid(folder)
    frames = Series(series_files(folder)).frames
    masks = pictures(tmp_path / "masks", {frame.path.stem: np.full(SHAPE[:2], k) for k, frame in enumerate(frames)})
    found, _ = read_series_masks(masks, read_volume(folder))
    assert [found.voxels[0, 0, k] for k in range(5)] == [0, 1, 2, 3, 4]


def test_masks_that_cannot_be_paired_are_refused(tmp_path):
    folder = series(tmp_path / "a")
    masks = pictures(tmp_path / "masks", {name: np.zeros(SHAPE[:2]) for name in "abcde"})
    with pytest.raises(InputError, match=r"do not tell the slices of .*; name each mask as its DICOM file"):
        read_series_masks(masks, read_volume(folder))


def test_a_written_segmentation_references_its_series_and_is_read_back(tmp_path):
    folder = series(tmp_path / "a")
    complete_series(folder)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:3, 2:4, 1:3], labels[4, 5, 4] = 1, 2
    write_segmentation(tmp_path / "seg.dcm", labels, Series(series_files(folder)), {1: "liver", 2: "spleen"})
    found, names = read_label_volume(tmp_path / "seg.dcm", read_volume(folder))
    np.testing.assert_array_equal(found.voxels, labels)
    assert names == {1: "liver", 2: "spleen"}
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    referenced = {
        item.ReferencedSOPInstanceUID for item in written.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == {pydicom.dcmread(file).SOPInstanceUID for file in folder.iterdir()}
    with pytest.raises(InputError, match="nothing was found"):
        write_segmentation(tmp_path / "empty.dcm", 0 * labels, Series(series_files(folder)), {1: "liver"})


def test_a_header_too_poor_for_a_segmentation_is_refused(tmp_path):
    folder = series(tmp_path / "a")
    with pytest.raises(InputError, match=r"does not allow a DICOM segmentation .*; write \.nii\.gz"):
        write_segmentation(tmp_path / "seg.dcm", (VALUES > 9).astype(np.uint8), Series(series_files(folder)), {1: "a"})


def test_values_beyond_the_stored_bits_do_not_wrap(tmp_path):
    found = read_volume(series(tmp_path / "a", VALUES * 100, RescaleSlope=9, RescaleIntercept=0.5)).voxels
    np.testing.assert_array_equal(found, VALUES * 900.0 + 0.5)
    unsigned = (VALUES.astype(np.int64) * 300).astype(np.uint16)
    found = read_volume(series(tmp_path / "b", unsigned.view(np.int16), PixelRepresentation=0)).voxels
    np.testing.assert_array_equal(found, unsigned)


def test_frames_of_a_multi_frame_file_are_read_one_by_one(tmp_path):
    file = dicom_frames(tmp_path / "a.dcm", VALUES[..., [2, 0, 1]], [2, 0, 1])
    np.testing.assert_array_equal(read_volume(file).voxels, VALUES[..., :3])
