import numpy as np
import pytest

from universeg_jax.errors import InputError
from universeg_jax.segment.preprocess import checked_image, checked_label, entries


def test_lists_and_arrays_are_taken_apart():
    listed, names = entries(np.zeros((3, 4, 5)), None, kind="image")
    assert [image.shape for image in listed] == [(4, 5)] * 3
    assert names == ["image 0", "image 1", "image 2"]
    listed, names = entries([np.zeros((4, 5)), [[1, 2]]], ["a", "b"], kind="image")
    assert [image.shape for image in listed] == [(4, 5), (1, 2)]
    assert names == ["a", "b"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([], "there is no image"),
        (np.zeros((0, 8, 8)), "there is no image"),
        (np.zeros((8, 9)), r"an array of shape \(8, 9\) looks like one image"),
        (np.zeros((8, 9, 3)), r"an array of shape \(8, 9, 3\) looks like one image"),
        (np.zeros(8), r"images of shape \(8,\)"),
        (np.zeros((1, 2, 3, 4, 5)), r"images of shape \(1, 2, 3, 4, 5\)"),
        (3.0, r"images of shape \(\)"),
        ([[[1, 2], [3]]], "images are not arrays of numbers"),
        ((i for i in range(3)), r"images of shape \(\)"),
    ],
)
def test_what_is_not_several_images_is_refused(arrays, message):
    with pytest.raises(InputError, match=message):
        entries(arrays, None, kind="image")


def test_a_wrong_number_of_names_is_refused():
    with pytest.raises(InputError, match="1 names for 2 images"):
        entries(np.zeros((2, 5, 5)), ["a"], kind="image")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(4), r"a.png has shape \(4,\)"),
        (np.zeros((4, 4, 5)), r"a.png has shape \(4, 4, 5\)"),
        (np.zeros((0, 4)), "a.png has shape .* so no pixels"),
        (np.zeros((4, 4), complex), "a.png has dtype complex128"),
        (np.zeros((4, 4), object), "a.png has dtype object"),
        (np.array([["x"]]), "a.png has dtype <U1"),
        (np.array([[1, np.nan]]), "a.png has NaN or infinity in 1 of 2 values"),
        (np.array([[-np.inf, np.nan]]), "a.png has NaN or infinity in 2 of 2 values"),
    ],
)
def test_unusable_images_are_refused_by_name(image, message):
    with pytest.raises(InputError, match=message):
        checked_image(image, "a.png")


def test_unusable_labels_are_refused_by_name():
    assert checked_label(np.zeros((4, 5, 1)), (4, 5), "a.png").shape == (4, 5)
    with pytest.raises(InputError, match=r"a.png is 4x5 but its label is 5x4"):
        checked_label(np.zeros((5, 4)), (4, 5), "a.png")
    with pytest.raises(InputError, match=r"the label of a.png has shape \(4, 5, 3\)"):
        checked_label(np.zeros((4, 5, 3)), (4, 5), "a.png")
    with pytest.raises(InputError, match=r"the label of a.png has NaN"):
        checked_label(np.full((4, 5), np.nan), (4, 5), "a.png")
