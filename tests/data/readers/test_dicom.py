import numpy as np
import pytest

from tests.helpers.make_sources import ball, dicom_frames, dicom_segmentation, dicom_series, nifti, save
from universeg_jax.data.readers.dicom import find
from universeg_jax.errors import InputError, SegmentationWarning

SHAPE = (16, 20, 6)  # rows, columns, slices


@pytest.fixture
def labels():
    return ball(SHAPE, centre=(5, 12, 2), radius=3).astype(np.int16)


@pytest.fixture
def series(tmp_path, labels):
    """A CT of 1 x 2 x 3 mm, stored in random order, whose values are 1000 above Hounsfield units."""
    return dicom_series(
        tmp_path / "images" / "p1", 1000 + 50 * labels, RescaleSlope=2, RescaleIntercept=-2000, Modality="CT"
    )


def read(folder, modality=None):
    [source] = find(folder, modality)
    [scan] = source.read(source.items[0])
    return scan


def upright(array):
    """Rows run to the back and columns to the left; upright is right, front, head."""
    return array.transpose(1, 0, 2)[::-1, ::-1]


def test_slices_are_sorted_and_rescaled(tmp_path, labels, series):
    dicom_series(tmp_path / "masks" / "p1", labels, shuffle=False)
    (tmp_path / "classes.json").write_text('{"1": "liver"}')
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.image, upright(100 * labels))
    np.testing.assert_array_equal(scan.labels, upright(labels))
    assert (scan.modality, scan.spacing, scan.class_names) == ("CT", (2, 1, 3), {1: "liver"})


def test_masks_as_nifti(tmp_path, labels, series):
    # DICOM counts to the left and back, NIfTI to the right and front.
    affine = np.array([[0, -2.0, 0, 10], [-1.0, 0, 0, 20], [0, 0, 3.0, 5], [0, 0, 0, 1]])
    nifti(tmp_path / "masks" / "p1.nii.gz", labels, affine=affine)
    np.testing.assert_array_equal(read(tmp_path).labels, upright(labels))
    affine[0, 3] += 4
    nifti(tmp_path / "masks" / "p1.nii.gz", labels, affine=affine)
    with pytest.raises(InputError, match="lies 4 mm from the image"):
        read(tmp_path)


def test_masks_as_pictures_follow_the_order_of_files(tmp_path, labels, series):
    (tmp_path / "masks" / "p1").mkdir(parents=True)
    order = np.random.default_rng(0).permutation(SHAPE[2])  # as dicom_series shuffles
    for number, k in enumerate(order):
        save(tmp_path / "masks" / "p1" / f"mask_{number}.png", labels[..., k])
    np.testing.assert_array_equal(read(tmp_path).labels, upright(labels))
    (tmp_path / "masks" / "p1" / "mask_0.png").unlink()
    with pytest.raises(InputError, match="5 masks for the 6 slices"):
        read(tmp_path)


def test_a_single_picture(tmp_path, labels):
    dicom_series(tmp_path / "images", labels[..., 2:3], Modality="DX", PhotometricInterpretation="MONOCHROME1")
    (tmp_path / "masks").mkdir()
    save(tmp_path / "masks" / "IM0.png", labels[..., 2])
    scan = read(tmp_path)
    assert (scan.modality, scan.spacing) == ("DX", None)
    np.testing.assert_array_equal(scan.labels, labels[..., 2])
    np.testing.assert_array_equal(scan.image, -1 - labels[..., 2])  # MONOCHROME1 shows low values white


def test_a_given_modality_wins(tmp_path, labels, series):
    dicom_series(tmp_path / "masks" / "p1", labels)
    assert read(tmp_path, "MR").modality == "MR"


def test_a_missing_slice_is_noticed(tmp_path, labels, series):
    dicom_series(tmp_path / "masks" / "p1", labels)
    series[3].unlink()
    with pytest.raises(InputError, match="slices are missing or doubled"):
        read(tmp_path)


def test_two_series_in_a_folder_are_refused(tmp_path, labels, series):
    dicom_series(tmp_path / "masks" / "p1", labels)
    extra = dicom_series(tmp_path / "extra", labels)
    extra[0].rename(tmp_path / "images" / "p1" / "other.dcm")
    with pytest.raises(InputError, match="slices of 2 series"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no dicom at all", None])
def test_damage_is_refused(tmp_path, labels, series, content):
    dicom_series(tmp_path / "masks" / "p1", labels)
    series[2].write_bytes(series[2].read_bytes()[:-300] if content is None else content)
    with pytest.raises(InputError, match=r"IM2\.dcm"):
        read(tmp_path)


def test_a_multi_frame_file_is_a_series(tmp_path, labels):
    order = np.random.default_rng(1).permutation(SHAPE[2])
    about = dict(RescaleSlope=2, RescaleIntercept=-2000, Modality="CT")
    (tmp_path / "images").mkdir()
    dicom_frames(tmp_path / "images" / "p1.dcm", (1000 + 50 * labels[..., order]).astype(np.int16), order, **about)
    (tmp_path / "masks").mkdir()
    dicom_frames(tmp_path / "masks" / "p1.dcm", labels, range(SHAPE[2]))
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.image, upright(100 * labels))
    np.testing.assert_array_equal(scan.labels, upright(labels))
    assert (scan.modality, scan.spacing) == ("CT", (2, 1, 3))


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("place", ["p1.dcm", "p1/seg.dcm"])
def test_segmentations(tmp_path, labels, series, binary, place):
    labels[labels == 1] = 2
    labels[3:5, 3:6, 4:6] = 1
    (tmp_path / "masks" / place).parent.mkdir(parents=True)
    dicom_segmentation(tmp_path / "masks" / place, labels, {1: "spleen", 2: "liver"}, binary=binary)
    scan = read(tmp_path)
    np.testing.assert_array_equal(scan.labels, upright(labels))
    assert scan.class_names == {1: "spleen", 2: "liver"}
    (tmp_path / "classes.json").write_text('{"2": "Leber"}')
    assert read(tmp_path).class_names == {1: "spleen", 2: "Leber"}


def test_segments_that_overlap(tmp_path, labels, series):
    (tmp_path / "masks").mkdir()
    frames = np.ones((*SHAPE[:2], 2), np.uint8)
    dicom_frames(tmp_path / "masks" / "p1.dcm", frames, [3, 3], segments=[2, 1], Modality="SEG")
    with pytest.warns(SegmentationWarning, match="segments overlap in 320 voxels; the higher number wins"):
        scan = read(tmp_path)
    assert np.unique(scan.labels).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"spacing": (1.0, 2.0, 2.0)}, "voxels off the slices"),
        ({"spacing": (1.0, 2.5, 3.0)}, "voxels off the slices"),
        ({"spacing": (1.0, 2.0, 9.0)}, "is not one of the slices"),
    ],
)
def test_segmentations_of_another_series_are_refused(tmp_path, labels, series, about, message):
    (tmp_path / "masks").mkdir()
    dicom_segmentation(tmp_path / "masks" / "p1.dcm", labels, {1: "liver"}, **about)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_contours_are_refused(tmp_path, labels, series):
    (tmp_path / "masks").mkdir()
    dicom_frames(tmp_path / "masks" / "p1.dcm", labels, range(SHAPE[2]), Modality="RTSTRUCT")
    with pytest.raises(InputError, match="contours"):
        read(tmp_path)


def test_colours_are_read_as_colour_pictures(tmp_path, labels):
    frames = labels[..., :3].astype(np.uint8)
    (tmp_path / "images").mkdir()
    about = dict(SamplesPerPixel=3, PlanarConfiguration=1, PhotometricInterpretation="RGB")
    dicom_frames(tmp_path / "images" / "a.dcm", frames, [0], **about)
    (tmp_path / "masks").mkdir()
    save(tmp_path / "masks" / "a.png", labels[..., 2])
    np.testing.assert_array_equal(read(tmp_path).image, frames)
