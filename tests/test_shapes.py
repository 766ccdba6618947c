import numpy as np
import pytest
from jaxtyping import TypeCheckError

from universeg_jax.nn.resample import max_pool
from universeg_jax.shapes import check_images


def test_the_tests_check_annotations_of_shapes():
    with pytest.raises(TypeCheckError, match="images"):
        max_pool(np.zeros((4, 4, 1), np.float32))


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((1, 8, 8), np.float32, r"images has shape \(1, 8, 8\); it must be \(B,H,W,3\)"),
        ((1, 8, 8, 1), np.float32, r"\(1, 8, 8, 1\); it must be \(B,H,W,3\)"),
        ((1, 8, 8, 3), np.uint8, "images is uint8: pass floating-point numbers"),
    ],
)
def test_images_of_a_wrong_shape_or_dtype_are_refused(shape, dtype, message):
    with pytest.raises(ValueError, match=message):
        check_images("images", np.zeros(shape, dtype), channels=3)
