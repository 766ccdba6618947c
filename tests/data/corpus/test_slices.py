import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tests.helpers.make_sources import ball, disk
from universeg_jax.data.corpus.slices import resize, slices, unit_range
from universeg_jax.data.readers.source import Scan
from universeg_jax.errors import InputError, SegmentationWarning


def volume_scan(labels, *, modality="MR", spacing=(1.0, 1.0, 1.0), image=None):
    image = np.arange(labels.size, dtype=np.float32).reshape(labels.shape) if image is None else image
    return Scan(image, labels.astype(np.int32), {}, modality, spacing)


@pytest.mark.parametrize("modality", ["CT", "ct", "PVP-CT", "CTA", "ct_native"])
def test_ct_is_clipped_to_a_fixed_window(modality):
    image = np.array([-2000, -500, 250, 1000, 3000], np.float32).reshape(5, 1, 1)
    unit = unit_range(volume_scan(np.zeros((5, 1, 1)), modality=modality, image=image), "x")
    np.testing.assert_allclose(unit.ravel(), [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("modality", ["MR", "PET", "OCT", "spectral"])
def test_other_volumes_are_not(modality):
    image = np.array([1, 2000, 4000], np.float32).reshape(3, 1, 1)
    assert 0.4 < unit_range(volume_scan(np.zeros((3, 1, 1)), modality=modality, image=image), "x")[1, 0, 0] < 0.6


def test_an_image_of_one_intensity_is_noticed():
    with pytest.warns(SegmentationWarning, match="x: shows nothing"):
        list(slices(Scan(np.full((4, 4), 7), np.eye(4, dtype=np.int32), {}, "image"), "x"))


def test_mr_is_clipped_to_percentiles_of_positive_voxels():
    image = np.concatenate([np.zeros(5000), np.arange(1, 1001), [1e6]]).astype(np.float32).reshape(-1, 1, 1)
    unit = unit_range(volume_scan(np.zeros(image.shape), image=image), "x")
    low, high = np.percentile(image[image > 0], (0.5, 99.5))
    np.testing.assert_allclose(unit, (np.clip(image, low, high) - low) / (high - low), atol=1e-6)
    assert unit[-1] == 1
    assert high < 1000


def test_pictures_keep_their_whole_range():
    image = np.array([[10, 20], [110, 60]], np.uint8)
    np.testing.assert_allclose(unit_range(Scan(image, image, {}, "CT"), "x"), [[0, 0.1], [1, 0.5]])


def test_middle_and_largest_slices():
    labels = np.zeros((10, 12, 14), np.int32)
    labels[2, 3:6, 4:9], labels[7, 8, 9:11] = 1, 2  # each largest in one sagittal slice
    found = [piece for piece in slices(volume_scan(labels), "x") if piece.axis == "sagittal"]
    assert [(piece.middle, *piece.shown) for piece in found] == [
        (False, True, False),
        (True, True, True),
        (False, False, True),
    ]
    assert [piece.planes[..., 1:].sum() for piece in found] == [15, 0, 2]
    assert {piece.axis for piece in slices(volume_scan(labels), "x")} == {"sagittal", "coronal", "axial"}


def test_the_middle_slice_may_be_the_largest():
    found = list(slices(volume_scan(ball((9, 9, 9), centre=(4, 4, 4), radius=3)), "x"))
    assert [(piece.middle, *piece.shown) for piece in found] == [(True, True)] * 3


def test_slices_look_as_radiologists_look():
    labels = np.zeros((5, 6, 7), np.int32)
    labels[4, 5, 6] = 1  # rightmost, frontmost, topmost
    found = [piece for piece in slices(volume_scan(labels), "x") if not piece.middle]
    assert [np.argwhere(piece.planes[..., 1]).tolist() for piece in found] == 3 * [[[0, 0]]]


def test_spacing_follows_its_axes():
    labels = np.ones((5, 6, 7))
    spacing = {p.axis: (p.planes.shape[:2], p.spacing) for p in slices(volume_scan(labels, spacing=(1, 2, 3)), "x")}
    assert spacing == {"sagittal": ((7, 6), (3, 2)), "coronal": ((7, 5), (3, 1)), "axial": ((6, 5), (2, 1))}


def test_a_slice_is_that_of_the_resampled_volume():
    """Linear resampling is separable: a slice on the grid, resampled in its plane, is the volume's slice."""
    random = np.random.default_rng(0)
    image = ndimage.gaussian_filter(random.random((8, 20, 24)), 1).astype(np.float32)
    volume = ndimage.zoom(image, (1, 2, 1.5), order=1, mode="nearest", grid_mode=True)
    plane = resize(image[4][..., None], (2.0, 1.5), 36)
    expected = resize(volume[4][..., None], None, 36)
    np.testing.assert_allclose(plane, expected, atol=1e-5)


def test_resize_is_what_scipy_does_to_whole_images():
    planes = np.random.default_rng(0).random((50, 90, 2)).astype(np.float32)
    resampled = ndimage.zoom(planes, (2, 1.2, 1), order=1, mode="nearest", grid_mode=True)
    square = np.pad(resampled, ((4, 4), (0, 0), (0, 0)))
    blurred = ndimage.gaussian_filter(square, 0.25 * 108 / 64, axes=(0, 1), mode="nearest")
    expected = ndimage.zoom(blurred, (64 / 108, 64 / 108, 1), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(resize(planes, (2.0, 1.2), 64), expected, atol=1e-5)


def test_resize_pads_to_a_centred_square():
    result = resize(np.ones((32, 64, 1), np.float32), None, 64)[..., 0]
    np.testing.assert_allclose(result[20:44], 1, atol=1e-3)
    np.testing.assert_allclose(result[:12], 0, atol=1e-3)
    np.testing.assert_allclose(result, result[::-1, ::-1], atol=1e-6)


def test_resize_blurs_by_a_quarter_of_the_factor():
    planes = np.zeros((128, 128, 1), np.float32)
    planes[:, 64:] = 1
    expected = ndimage.gaussian_filter1d(planes[0, :, 0], 0.5, mode="nearest").reshape(64, 2).mean(1)
    np.testing.assert_allclose(resize(planes, None, 64)[10, :, 0], expected, atol=1e-6)


def test_labels_become_soft():
    labels = resize(disk(200, 200, centre=(90, 100), radius=40)[..., None].astype(np.float32), None, 64)
    assert labels.max() == pytest.approx(1)
    assert ((labels > 0.05) & (labels < 0.95)).any()


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    size=st.sampled_from([16, 64]),
    spacing=st.sampled_from([None, (1.0, 1.0), (2.0, 1.0)]),
    seed=st.integers(0, 99),
)
def test_resize_keeps_range_classes_and_area(height, width, size, spacing, seed):
    labels = np.random.default_rng(seed).integers(0, 3, (height, width))
    labels = np.kron(labels, np.ones((3, 3), int))
    planes = np.stack([labels == k for k in range(3)], axis=-1).astype(np.float32)
    result = resize(planes, spacing, size)
    assert result.shape == (size, size, 3)
    assert result.min() >= 0
    assert result.max() <= 1
    # One-hot maps still add up to 1, except where the square was padded.
    assert result.sum(-1).max() <= 1 + 1e-5
    side = max(height * (spacing or (1, 1))[0], width * (spacing or (1, 1))[1])
    area = planes.mean((0, 1)) * height * width * np.prod(spacing or (1, 1)) / side**2
    np.testing.assert_allclose(result.mean((0, 1)), area, atol=0.02)


def test_unlike_shapes_are_refused():
    with pytest.raises(InputError, match=r"x: the image measures 4x5, its labels 5x4"):
        list(slices(Scan(np.zeros((4, 5)), np.zeros((5, 4), int), {}, "image"), "x"))


@pytest.mark.parametrize("spacing", [(0.0004, 0.0004), (500.0, 500.0), (1.0, float("nan"))])
def test_impossible_spacing_is_refused(spacing):
    with pytest.raises(InputError, match="not in millimetres"):
        resize(np.zeros((40, 40, 1), np.float32), spacing, 64)
