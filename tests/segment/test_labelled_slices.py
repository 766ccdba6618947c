"""Slices of labelled volumes as labelled pictures: their subject, their scale, their square pixels."""

import nibabel
import numpy as np
import pytest

from tests.helpers.make_volumes import affine, scene, write_volumes
from universeg_jax.errors import InputError
from universeg_jax.io.volume_folder import open_volume_folder
from universeg_jax.segment.labelled_slices import read_examples


def test_slices_keep_their_subject_and_are_scaled_by_volume(tmp_path):
    folder = write_volumes(tmp_path) / "support"
    examples, subjects, axis = read_examples(open_volume_folder(folder))
    assert axis == "axial"
    assert set(subjects) == {"s0", "s1"}
    assert list(examples.class_names) == [0, 1, 2]
    shown = [label.any() for label in examples.labels]
    assert 0 < shown.count(False) <= 0.34 * len(shown)
    labelled, _, _ = read_examples(open_volume_folder(folder), labelled_only=True)
    assert all(label.any() for label in labelled.labels)
    assert all(image.min() >= 0 and image.max() <= 1 for image in examples.images)
    empty = [image.max() for image, label in zip(examples.images, examples.labels, strict=True) if not label.any()]
    assert max(empty) < 0.2  # scaled by its own range, noise would reach 1


def test_slices_with_oblong_pixels_become_square(tmp_path):
    folder = write_volumes(tmp_path) / "support"
    examples, _, _ = read_examples(open_volume_folder(folder), axis="coronal")
    assert examples.images[0].shape == examples.labels[0].shape == (30, 20)


def test_volumes_without_a_structure_are_refused(tmp_path):
    folder = write_volumes(tmp_path) / "support"
    for i in range(2):
        empty = np.zeros_like(scene(i)[1])
        nibabel.save(nibabel.Nifti1Image(empty, affine()), folder / "masks" / f"s{i}.nii.gz")
    with pytest.raises(InputError, match="every mask is 0: mark a structure in one"):
        read_examples(open_volume_folder(folder))
