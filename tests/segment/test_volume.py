"""Volumes in memory, segmented slice by slice."""

import warnings
import weakref
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from tests.helpers.intensities import Intensities
from tests.helpers.make_volumes import affine, scene, turned
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.volume import LabelledVolume, fit_volumes


def volume(number, turn="RAS"):
    image, labels = scene(number)
    return Volume(f"scan {number}", turned(image, turn), affine(turn)), turned(labels, turn)


def labelled(*numbers):
    return [LabelledVolume(*volume(number)) for number in numbers]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_arrays_are_cut_along_their_axis(axis):
    model = Intensities()
    images, labels = zip(*(scene(i) for i in range(2)), strict=True)
    spacing = (1.0, 1.0, 3.0)
    task = Segmenter(model).fit(list(images), list(labels), axis=axis, spacing=spacing)
    found = task.predict([scene(10)[0]])[0]
    assert found.shape == images[0].shape
    for value in (1, 2):
        assert dice(found == value, scene(10)[1] == value) > 0.75


def test_boolean_labels_are_one_structure():
    images, labels = zip(*(scene(i) for i in range(2)), strict=True)
    task = Segmenter(Intensities()).fit(list(images), [label == 1 for label in labels], axis=2)
    assert task.values.tolist() == [0, 1]
    assert dice(task.predict([scene(10)[0]])[0] == 1, scene(10)[1] == 1) > 0.75


@pytest.mark.parametrize("turn", ["RAS", "LPS", "SAR", "PIL"])
def test_volumes_of_any_orientation_give_the_same_mask(turn):
    task = fit_volumes(Segmenter(Intensities()), labelled(0, 1))
    expected = task.segment(volume(10)[0]).mask
    result = task.segment(volume(10, turn)[0])
    np.testing.assert_array_equal(result.mask, turned(expected, turn))
    np.testing.assert_array_equal(result.affine, affine(turn))


def test_the_mean_over_axes_is_no_worse_than_one_axis():
    task = fit_volumes(Segmenter(Intensities()), labelled(0, 1), axis="all")
    assert [pool.axis for pool in task.pools] == ["sagittal", "coronal", "axial"]
    found = task.segment(volume(10)[0]).mask
    for value in (1, 2):
        assert dice(found == value, scene(10)[1] == value) > 0.8


def test_several_models_segment_volumes_by_their_mean():
    one = fit_volumes(Segmenter(Intensities()), labelled(0, 1)).segment(volume(10)[0]).mask
    models = [Intensities(), Intensities()]
    found = fit_volumes(Segmenter(models, weights=[1, 3]), labelled(0, 1)).segment(volume(10)[0]).mask
    np.testing.assert_array_equal(found, one)
    assert all(model.sets for model in models)


def test_axes_with_flat_slices_are_left_out():
    image, labels = volume(0)
    thick = Volume("thick", image.voxels, np.diag([1.0, 1.0, 8.0, 1.0]))
    task = fit_volumes(Segmenter(Intensities()), [LabelledVolume(thick, labels)], axis="all")
    assert [pool.axis for pool in task.pools] == ["axial"]


def test_the_axis_of_the_thickest_slices_is_the_default():
    image, labels = volume(0)
    sagittal = Volume("s", image.voxels, np.diag([3.0, 1.0, 1.0, 1.0]))
    assert fit_volumes(Segmenter(Intensities()), [LabelledVolume(sagittal, labels)]).pools[0].axis == "sagittal"


def test_a_scan_along_another_axis_warns():
    task = fit_volumes(Segmenter(Intensities()), labelled(0))
    image, _ = volume(10)
    coronal = Volume("other.nii", image.voxels, np.diag([1.0, 5.0, 1.0, 1.0]))
    with pytest.warns(SegmentationWarning, match="other.nii: was taken along the coronal axis, its slices are 5 mm"):
        task.segment(coronal)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task.segment(Volume("even.nii", image.voxels, np.eye(4)))


def test_empty_masks_and_constant_scans_warn():
    image, labels = volume(1)
    with pytest.warns(SegmentationWarning, match="scan 1: empty mask, so all slices"):
        task = fit_volumes(Segmenter(Intensities()), [*labelled(0), LabelledVolume(image, 0 * labels)])
    with pytest.warns(SegmentationWarning, match="flat.nii: all voxels are 7, so its mask is empty"):
        found = task.segment(Volume("flat.nii", np.full(image.shape, 7), image.affine)).mask
    assert not found.any()


def test_empty_slices_are_part_of_the_support():
    model = Intensities()
    choice = SliceChoice(size=4, by="position", varied=0, share=0)
    task = fit_volumes(Segmenter(model), labelled(0, 1), choice=choice)
    task.segment(volume(10)[0])
    first_slice = model.sets[0]
    assert not first_slice[1].any()  # at the end of the scan no neighbour shows a structure
    assert first_slice[2].all()
    model.sets.clear()
    choice = SliceChoice(size=4, by="position", varied=0, share=0, negatives=0)
    fit_volumes(Segmenter(model), labelled(0, 1), choice=choice).segment(volume(10)[0])
    for _, shown, mask in model.sets:
        assert shown[:, mask.any(axis=0)].any(axis=(0, 2, 3, 4)).all()


def test_volumes_are_read_one_at_a_time():
    class Folder(Sequence):
        alive: ClassVar = weakref.WeakSet()

        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index > 2:
                raise IndexError(index)
            assert not self.alive
            found = LabelledVolume(*volume(index))
            self.alive.add(found.image)
            return found

    task = fit_volumes(Segmenter(Intensities()), Folder())
    assert set(task.pools[0].candidates.subjects.tolist()) == {0, 1, 2}
    assert not Folder.alive


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": "axial"}, "axis='axial': of arrays pass 0, 1 or 2"),
        ({"axis": 2, "spacing": (1, 1, 0)}, r"spacing=\(1\.0, 1\.0, 0\.0\)"),
    ],
)
def test_unusable_options_are_refused(options, message):
    images, labels = zip(*(scene(i) for i in range(2)), strict=True)
    with pytest.raises(InputError, match=message):
        Segmenter(Intensities()).fit(list(images), list(labels), **options)


def test_volumes_and_labels_must_match():
    images, labels = zip(*(scene(i) for i in range(2)), strict=True)
    segmenter = Segmenter(Intensities())
    with pytest.raises(InputError, match=r"support volume 1 is \(20, 24, 10\) but its label is \(20, 24, 9\)"):
        segmenter.fit(list(images), [labels[0], labels[1][..., 1:]], axis=2)
    with pytest.raises(InputError, match="2 support volumes but 1 labels"):
        segmenter.fit(list(images), [labels[0]], axis=2)
    with pytest.raises(InputError, match="every label is 0, so there is nothing to segment"):
        segmenter.fit(list(images), [0 * label for label in labels], axis=2)
    with pytest.raises(InputError, match="axis='up': pass one of sagittal, coronal, axial"):
        fit_volumes(segmenter, labelled(0), axis="up")


def test_values_that_are_no_classes_of_one_task_are_refused():
    images, labels = zip(*(scene(i) for i in range(2)), strict=True)
    segmenter = Segmenter(Intensities())
    with pytest.raises(InputError, match=r"marks the structure by 1.* by 255: use one value in all masks"):
        segmenter.fit(list(images), [1 * (labels[0] > 0), 255 * (labels[1] > 0)], axis=2)
    instances = np.arange(labels[0].size).reshape(labels[0].shape) % 90
    with pytest.raises(InputError, match="90 different values"):
        segmenter.fit(list(images[:1]), [instances], axis=2)


def test_smoothing_removes_what_one_slice_shows_and_the_default_keeps_it():
    image, _ = volume(10)
    voxels = image.voxels.copy()
    voxels[..., [0, 1, 2, 8, 9]] = 20
    voxels[4:8, 10:14, 1] = 1000
    spot = Volume("spot", voxels + scene(11)[0] % 20, image.affine)
    for options, kept in (({"smoothing": 0}, True), ({}, True), ({"smoothing": 1.2}, False)):
        found = fit_volumes(Segmenter(Intensities()), labelled(0, 1), **options).segment(spot).mask
        assert found[5, 11, 1] == kept
        assert found[5, 11, 5] == 1
