import jax.numpy as jnp
import numpy as np
import pytest

from universeg_jax.errors import InputError
from universeg_jax.segment.labels import Classes


def classes(*labels):
    labels = [np.asarray(label) for label in labels]
    return Classes.of(labels, [f"image {i}" for i in range(len(labels))])


@pytest.mark.parametrize(
    ("label", "values", "dtype"),
    [
        (np.array([[True, False]]), [False, True], bool),
        (np.array([[0.0, 0.25, 1.0]]), [False, True], bool),
        (np.array([[0, 255]], np.uint8), [0, 255], np.uint8),
        (np.array([[-5, 7]], np.int16), [-5, 7], np.int16),
        (np.array([[3.0, 1.0]], np.float32), [1, 3], np.float32),
        (np.array([[7, 0, 3]], np.uint16), [0, 3, 7], np.uint16),
    ],
)
def test_values_and_dtype_are_those_of_the_labels(label, values, dtype):
    found = classes(label)
    assert found.values.tolist() == values
    assert found.values.dtype == dtype


def test_values_are_collected_over_all_labels():
    assert classes([[0, 0]], [[0, 3]], [[7, 7]]).values.tolist() == [0, 3, 7]


def test_boolean_labels_know_their_classes_even_if_all_are_empty():
    assert classes([[False, False]]).values.tolist() == [False, True]


def test_problems_of_a_binary_task_are_its_foreground():
    np.testing.assert_array_equal(classes([[4, 9]]).problems(np.array([[4, 9, 9]]))[..., 0], [[0, 1, 1]])


def test_soft_labels_stay_soft():
    np.testing.assert_array_equal(classes([[0, 0.25]]).problems(np.array([[0, 0.25, 1]]))[..., 0], [[0, 0.25, 1]])


def test_every_class_is_a_problem_including_the_background():
    maps = classes([[0, 3, 7]]).problems(np.array([[0, 3, 7, 3]]))
    np.testing.assert_array_equal(maps[0], [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]])


def test_several_classes_are_combined_as_in_the_official_demo():
    logits = np.random.default_rng(0).normal(size=(3, 2, 4, 5, 1)) * 3
    sigmoid = 1 / (1 + np.exp(-logits[..., 0]))
    expected = np.exp(10 * sigmoid) / np.exp(10 * sigmoid).sum(axis=0)
    probability = classes([[0, 3, 7]]).probability(jnp.asarray(logits))
    assert probability.shape == (2, 4, 5, 3)
    np.testing.assert_allclose(probability, np.moveaxis(expected, 0, -1), atol=1e-5)


def test_masks_hold_class_values():
    assert classes([[0, 3, 7]]).mask(np.array([[[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]]), threshold=0.5).tolist() == [[7, 0]]
    binary = classes(np.array([[0, 255]], np.uint8))
    probability = np.array([[[0.3], [0.31], [0.9]]])
    assert binary.mask(probability, threshold=0.3).tolist() == [[0, 255, 255]]
    assert binary.mask(probability, threshold=0.5).dtype == np.uint8


def test_a_threshold_is_moved_to_one_half():
    binary, several = classes([[0, 1]]), classes([[0, 3, 7]])
    found = binary.shifted(np.array([0.0, 0.2, 0.3, 0.4, 1.0])[:, None], 0.3)[:, 0]
    np.testing.assert_allclose(found[[0, 2, 4]], [0, 0.5, 1])
    assert found[1] < 0.5 < found[3]
    probability = np.array([[0.5, 0.3, 0.2]])
    np.testing.assert_allclose(several.shifted(probability, 0.5), probability)
    found = several.shifted(probability, 0.25)
    assert found.sum() == pytest.approx(1)
    assert found[0, 1] / found[0, 0] == pytest.approx(3 * 0.3 / 0.5)


def test_soft_labels_out_of_range_are_refused():
    with pytest.raises(
        InputError, match=r"label of image 1 has values from 0 to 255, and the label of image 0 has fractions"
    ):
        classes([[0, 0.5]], [[0, 255]])


def test_a_single_value_is_refused():
    with pytest.raises(InputError, match="every pixel of every label is 4"):
        classes([[4, 4]], [[4, 4]])


def test_an_image_in_place_of_a_label_is_refused():
    with pytest.raises(InputError, match="200 different values from 0 to 199"):
        classes(np.arange(200).reshape(10, 20))


def test_masks_of_unlike_coding_are_refused():
    with pytest.raises(InputError, match="label of image 1 is boolean, the label of image 0 is uint8"):
        classes(np.uint8([[0, 1]]), [[True, False]])
    with pytest.raises(InputError, match="label of image 0 marks the structure by 1, the label of image 1 by 255"):
        classes(np.uint8([[0, 1]]), np.uint8([[0, 255]]))
    assert classes(np.uint8([[0, 1, 255]]), np.uint8([[0, 255, 0]])).values.tolist() == [0, 1, 255]
