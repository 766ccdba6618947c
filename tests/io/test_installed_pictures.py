"""Pictures that installed packages bring along: each is read, or refused with a reason that names it."""

import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import skimage
from PIL import Image

from universeg_jax.errors import InputError
from universeg_jax.io.masks import read_mask
from universeg_jax.io.pictures import EXTENSIONS, read_image

# scikit-image and matplotlib come with the dev extra; both bring pictures for their own examples and tests.
FILES = [
    file
    for package in (skimage, matplotlib)
    for file in sorted(Path(package.__file__).parent.rglob("*"))
    if file.suffix.lower() in (*EXTENSIONS, ".gif") and file.is_file()
]
LEAST = 30


def test_there_are_pictures():
    assert len(FILES) >= LEAST
    assert {".png", ".tif"} <= {file.suffix.lower() for file in FILES}


def refusal(read, file) -> str:
    """Message of the refusal; "" of a file that is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(file)
        except InputError as error:
            return str(error)
    return ""


@pytest.mark.parametrize(("read", "least"), [(read_image, LEAST / 2), (read_mask, 5)])
def test_every_picture_is_read_or_refused_by_name(read, least):
    refusals = {file: refusal(read, file) for file in FILES}
    assert sum(not message for message in refusals.values()) >= least
    for file, message in refusals.items():
        assert not message or (file.name in message and len(message) > len(str(file)) + 20)


def test_values_are_those_of_pillow():
    compared = 0
    for file in (file for file in FILES if file.suffix.lower() == ".png"):
        with Image.open(file) as picture:
            deep = any(";16" in str(tile[3]) for tile in picture.tile)
            if picture.format == "PNG" and picture.mode in ("L", "RGB") and not deep:
                np.testing.assert_array_equal(read_image(file), np.asarray(picture))
                compared += 1
    assert compared >= 5
