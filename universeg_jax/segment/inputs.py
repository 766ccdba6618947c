"""Which arrays are accepted, and what is said about the others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from universeg_jax.errors import InputError

Arrays = ArrayLike | Sequence[ArrayLike]
"""Several images or labels: a list of arrays of any sizes, or one array with all of them."""


def entries(arrays: Arrays, names: Sequence[str] | None, *, kind: str) -> tuple[list[np.ndarray], list[str]]:
    """The images or labels one by one, each with the name that messages call it by.

    Args:
        arrays: a list of arrays, or one array (N,H,W) or (N,H,W,C).
        names: one name per entry; None gives "<kind> 0", "<kind> 1", ...
        kind: what an entry is, in the singular: "image", "support image", "label".

    Raises:
        InputError: for no entries, for a single image where several are expected, for a wrong number of names.
    """
    listed = _listed(arrays, kind)
    if not listed:
        raise InputError(f"there is no {kind}: at least one is needed")
    if names is None:
        return listed, [f"{kind} {i}" for i in range(len(listed))]
    if len(names) != len(listed):
        raise InputError(f"{len(names)} names for {len(listed)} {kind}s: pass one name for each, or none")
    return listed, [str(name) for name in names]


def is_list(arrays: Arrays) -> bool:
    """Whether images were given one by one, so that results are returned one by one."""
    return isinstance(arrays, list | tuple)


def _listed(arrays: Arrays, kind: str) -> list[np.ndarray]:
    try:
        if is_list(arrays):
            return [np.asarray(array) for array in arrays]
        array = np.asarray(arrays)
    except ValueError as error:  # nested lists with rows of unequal length
        raise InputError(f"{kind}s are not arrays of numbers: {error}") from error
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4)):
        raise InputError(
            f"an array of shape {array.shape} looks like one {kind} where several are expected: "
            f"pass a list, [{kind.split()[-1]}]"
        )
    if array.ndim not in (3, 4):
        raise InputError(f"{kind}s of shape {array.shape}: pass a list of arrays, or one array (N,H,W) or (N,H,W,C)")
    return list(array)


def checked_image(image: np.ndarray, name: str) -> np.ndarray:
    """The image as (H,W,C): C is 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.

    Raises:
        InputError: for another shape, no pixels, a dtype that is not a number, NaN or infinity.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or not 1 <= image.shape[-1] <= 4:
        raise InputError(f"{name} has shape {image.shape}: images are (H,W), (H,W,3) or (H,W,4), height first")
    return _checked_values(image, name)


def checked_label(label: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """The label as (H,W), of the same height and width as its image, called `name`.

    Raises:
        InputError: for another shape, a dtype that is not a number, NaN or infinity.
    """
    if label.ndim == 3 and label.shape[-1] == 1:
        label = label[..., 0]
    if label.ndim != 2:
        raise InputError(f"the label of {name} has shape {label.shape}: labels are (H,W), one class value a pixel")
    if label.shape != size:
        raise InputError(
            f"{name} is {size[0]}x{size[1]} but its label is {label.shape[0]}x{label.shape[1]}: "
            "a label has one value for each pixel of its image"
        )
    return _checked_values(label, f"the label of {name}")


def _checked_values(array: np.ndarray, name: str) -> np.ndarray:
    if array.size == 0:
        raise InputError(f"{name} has shape {array.shape}, so no pixels")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} has dtype {array.dtype}: pass booleans, integers or floats")
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise InputError(
            f"{name} has NaN or infinity in {bad} of {array.size} values: replace them, e.g. np.nan_to_num"
        )
    return array
