"""TotalSegmentator's folders: one mask file per structure."""

import numpy as np

from tests.helpers.make_sources import ball, nifti
from universeg_jax.data.readers.detect import find_sources

SHAPE = (12, 14, 10)
STRUCTURES = {"spleen": (3, 3, 5), "liver": (8, 9, 5), "aorta": (8, 3, 3)}


def subject(folder, structures, image="ct"):
    nifti(folder / f"{image}.nii.gz", np.full(SHAPE, -100, np.int16))
    for name in structures:
        nifti(
            folder / "segmentations" / f"{name}.nii.gz", ball(SHAPE, centre=STRUCTURES[name], radius=2).astype(np.uint8)
        )


def test_structures_are_numbered_by_name_over_all_subjects(tmp_path):
    subject(tmp_path / "s0000", ["spleen", "liver", "aorta"])
    subject(tmp_path / "s0001", ["spleen"], image="mri")
    [source] = find_sources(tmp_path)
    assert (source.kind, source.subjects_known) == ("totalsegmentator", True)
    first, second = (source.scans(item)[0] for item in source.items)
    assert first.class_names == {1: "aorta", 2: "liver", 3: "spleen"}
    assert (first.modality, second.modality) == ("CT", "MR")
    for value, name in first.class_names.items():
        np.testing.assert_array_equal(first.labels == value, ball(SHAPE, centre=STRUCTURES[name], radius=2))
    assert (first.classes, second.classes) == ([1, 2, 3], [3])


def test_a_subject_without_its_volume_is_an_item_with_a_problem(tmp_path):
    subject(tmp_path / "s0000", ["liver"])
    subject(tmp_path / "s0001", ["liver"])
    (tmp_path / "s0001" / "ct.nii.gz").unlink()
    [source] = find_sources(tmp_path)
    assert [item.problem.partition(":")[2] for item in source.items] == [
        "",
        " needs one volume ct.nii.gz or mri.nii.gz; it has 0",
    ]
