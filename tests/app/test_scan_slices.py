"""Volumes that are labelled slice by slice."""

import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK

from tests.helpers.make_sources import dicom_segmentation, dicom_series, nifti
from tests.helpers.make_volumes import affine, scene, turned
from tests.helpers.stand_in import Brightness
from universeg_jax.app.states import State
from universeg_jax.app.workspace import MaskChanged, Workspace
from universeg_jax.errors import InputError
from universeg_jax.io.task_folder import LABELLING
from universeg_jax.io.volume_files import read_volume
from universeg_jax.io.volume_folder import holds_volumes, open_volume_folder
from universeg_jax.segment.labelled_slices import read_examples, read_slices
from universeg_jax.segment.planes import Planes
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.slice_choice import SliceChoice

PLANE = (24, 20)  # of the axial slices of `scene`: rows, columns


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def view(workspace, scan, voxels):
    return workspace.files.scan(scan).planes.view(voxels)


@pytest.fixture
def folder(tmp_path):
    """Two scans, the second turned; the first has a mask."""
    for i, turn in enumerate(("RAS", "LPS")):
        image, labels = scene(i)
        nifti(tmp_path / "images" / f"s{i}.nii.gz", turned(image, turn), affine=affine(turn))
        if i == 0:
            nifti(tmp_path / "masks" / f"s{i}.nii.gz", turned(labels, turn), affine=affine(turn))
    return tmp_path


def test_slices_are_listed_by_scan_and_masks_are_read(folder):
    before = contents(folder)
    workspace = Workspace(folder)
    assert list(workspace.scans) == ["s0", "s1"]
    assert workspace.names[0] == "s0, slice 1"
    assert len(workspace.names) == 20
    labels = view(workspace, "s0", scene(0)[1])
    shown = [f"s0, slice {i + 1}" for i in np.flatnonzero(labels.any(axis=(1, 2)))]
    assert workspace.confirmed() == shown  # nobody may have looked at slices without a label
    np.testing.assert_array_equal(workspace.mask("s0, slice 6"), labels[5])
    assert workspace.mask("s0, slice 1") is None
    assert workspace.classes == {1: "class 1", 2: "class 2"}
    assert workspace.image("s0, slice 6").shape == PLANE
    assert workspace.image("s0, slice 6").dtype == np.uint8
    assert contents(folder) == before


def test_a_turned_scan_shows_the_same_slice_and_its_mask_is_turned_too(folder):
    workspace = Workspace(folder)
    labels = scene(1)[1]
    upright = Planes.of(read_volume(folder / "images" / "s0.nii.gz"), "axial").view(labels)
    values = upright[5].astype(int)
    workspace.save("s1, slice 6", values, seen="", confirm=True)
    file = nibabel.load(folder / "masks" / "s1.nii.gz")
    np.testing.assert_allclose(file.affine, nibabel.load(folder / "images" / "s1.nii.gz").affine)
    expected = np.zeros_like(labels)
    expected[:, :, 5] = labels[:, :, 5]
    np.testing.assert_array_equal(np.asarray(file.dataobj), turned(expected, "LPS"))


def test_what_is_saved_is_found_again_and_the_folder_is_a_support_folder(folder):
    workspace = Workspace(folder)
    values = np.zeros(PLANE, int)
    workspace.save("s1, slice 3", values, seen="", confirm=True)  # confirmed without any structure
    values[4:9, 5:11] = 2
    workspace.save("s1, slice 6", values, seen="", confirm=False)
    again = Workspace(folder)
    assert again.state("s1, slice 3") is State.CONFIRMED
    assert again.state("s1, slice 6") is State.EDITED
    assert again.state("s1, slice 4") is State.EMPTY
    np.testing.assert_array_equal(again.mask("s1, slice 6"), values)
    np.testing.assert_array_equal(again.mask("s1, slice 3"), 0 * values)
    nifti(folder / "images" / "s2.nii.gz", scene(2)[0], affine=affine())
    assert [file.name for file in open_volume_folder(folder).files] == ["s0", "s1"]


def test_a_mask_changes_only_where_it_was_edited(folder):
    workspace, file = Workspace(folder), folder / "masks" / "s0.nii.gz"
    before, labels = file.read_bytes(), scene(0)[1]
    name = "s0, slice 6"
    workspace.save(name, workspace.mask(name), seen=workspace.token(name), confirm=True)
    assert file.read_bytes() == before
    workspace.save(name, np.zeros(PLANE, int), seen=workspace.token(name), confirm=True)
    expected = labels.copy()
    expected[:, :, 5] = 0
    np.testing.assert_array_equal(np.asarray(nibabel.load(file).dataobj), expected)


def test_two_tabs_may_label_two_slices_of_a_scan_but_not_one(folder):
    workspace = Workspace(folder)
    values = np.ones(PLANE, int)
    seen = {name: workspace.token(name) for name in ("s1, slice 2", "s1, slice 3")}
    for name in seen:
        workspace.save(name, values, seen=seen[name], confirm=True)
    with pytest.raises(MaskChanged, match="s1, slice 2: its mask was changed elsewhere"):
        workspace.save("s1, slice 2", 2 * values, seen=seen["s1, slice 2"], confirm=True)
    np.testing.assert_array_equal(workspace.mask("s1, slice 2"), values)


def test_a_full_disk_loses_nothing(folder, monkeypatch):
    workspace, name = Workspace(folder), "s0, slice 6"
    before, mask = contents(folder), workspace.mask(name)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("universeg_jax.app.scan_slices.write_label_volume", full)
    with pytest.raises(OSError, match="No space"):
        workspace.save(name, np.zeros(PLANE, int), seen=workspace.token(name), confirm=True)
    assert contents(folder) == before
    np.testing.assert_array_equal(workspace.mask(name), mask)


def test_a_mask_that_another_program_wrote_is_read_again(folder):
    workspace, name = Workspace(folder), "s0, slice 6"
    seen = workspace.token(name)
    nifti(folder / "masks" / "s0.nii.gz", 0 * scene(0)[1], affine=affine())
    assert not workspace.mask(name).any()
    with pytest.raises(MaskChanged):
        workspace.save(name, np.ones(PLANE, int), seen=seen, confirm=True)


def test_other_formats_keep_format_and_place(tmp_path):
    image = SimpleITK.GetImageFromArray(scene(0)[0].transpose(2, 1, 0))
    image.SetSpacing((0.5, 0.5, 2))
    image.SetOrigin((3, -4, 5))
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd"))  # next to masks/, as the page leaves it
    Workspace(tmp_path).save("a, slice 4", np.ones(PLANE, int), seen="", confirm=True)
    mask = SimpleITK.ReadImage(str(tmp_path / "masks" / "a.nrrd"))
    assert mask.GetSpacing() == image.GetSpacing()
    assert mask.GetOrigin() == image.GetOrigin()
    assert SimpleITK.GetArrayFromImage(mask)[3].all()
    assert holds_volumes(tmp_path)
    assert (open_volume_folder(tmp_path)[0].labels == 1).sum() == PLANE[0] * PLANE[1]


def test_a_dicom_series_has_a_nifti_mask_and_a_segmentation_is_read_but_not_edited(tmp_path):
    voxels = np.random.default_rng(0).integers(-900, 900, (20, 24, 5))
    dicom_series(tmp_path / "images" / "a", voxels)
    workspace = Workspace(tmp_path)
    values = np.ones(workspace.image("a, slice 2").shape, int)
    workspace.save("a, slice 2", values, seen="", confirm=True)
    assert (tmp_path / "masks" / "a.nii.gz").exists()
    np.testing.assert_array_equal(Workspace(tmp_path).mask("a, slice 2"), values)


def test_a_dicom_segmentation_is_read_and_not_altered(tmp_path):
    labels = np.zeros((20, 24, 5), np.uint8)
    labels[5:9, 6:12, 2:4] = 1
    dicom_series(tmp_path / "images" / "a", np.random.default_rng(0).integers(-900, 900, labels.shape))
    file = dicom_segmentation(tmp_path / "masks" / "a.dcm", labels, {1: "liver"})
    before, workspace = file.read_bytes(), Workspace(tmp_path)
    assert workspace.classes == {1: "liver"}
    assert len(workspace.confirmed()) == 2
    name = workspace.confirmed()[0]
    with pytest.raises(InputError, match="only masks in one NIfTI"):
        workspace.save(name, 0 * workspace.mask(name), seen=workspace.token(name), confirm=True)
    assert file.read_bytes() == before


def test_all_proposals_of_a_scan_are_confirmed_in_one_write(folder, monkeypatch):
    from universeg_jax.app import scan_slices
    from universeg_jax.app.proposal import Proposal

    workspace, writes, write = Workspace(folder), [], scan_slices.write_label_volume
    monkeypatch.setattr(scan_slices, "write_label_volume", lambda *given: writes.append(1) or write(*given))
    names = workspace.scans["s1"][2:6]
    for name in names:
        workspace.propose(name, Proposal(np.full((*PLANE, 2), 0.7, np.float16), None, 0.8, ("s0, slice 6",), ""))
    assert workspace.confirm_proposals(workspace.scans["s1"], 0.5) == names
    assert [workspace.state(name) for name in names] == [State.CONFIRMED] * 4
    assert len(writes) == 1
    assert (workspace.mask(names[0]) == 1).all()


def test_the_axis_can_be_chosen_once(folder):
    workspace = Workspace(folder, axis="sagittal")
    assert len(workspace.scans["s0"]) == 20
    workspace.save("s1, slice 4", np.ones((10, 24), int), seen="", confirm=True)
    assert len(Workspace(folder).scans["s0"]) == 20
    with pytest.raises(InputError, match="labelled along the sagittal axis; leave --axis axial out"):
        Workspace(folder, axis="axial")


def test_folders_that_cannot_be_labelled_are_refused_by_name(folder, tmp_path):
    nifti(folder / "masks" / "s9.nii.gz", scene(0)[1], affine=affine())
    with pytest.raises(InputError, match=r"no volume has the name of s9\.nii\.gz"):
        Workspace(folder)
    (folder / "masks" / "s9.nii.gz").unlink()
    (folder / "images" / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds volumes and the pictures a\.png"):
        Workspace(folder)
    (folder / "images" / "a.png").unlink()
    nifti(tmp_path / "else" / "s5.nii.gz", scene(0)[0], affine=affine())
    (folder / "images" / "s5.nii.gz").symlink_to(tmp_path / "else" / "s5.nii.gz")
    with pytest.raises(InputError, match="link to a file outside"):
        Workspace(folder)


@pytest.mark.parametrize("name", ["../s0, slice 1", "s0, slice 0", "s0, slice 11", "s0", ""])
def test_names_that_are_no_slice_reach_no_file(folder, name):
    workspace = Workspace(folder)
    for call in (workspace.image, workspace.mask, workspace.token, workspace.thumbnail):
        with pytest.raises(InputError, match="there is no such image"):
            call(name)


def test_thumbnails_of_scans_do_not_drive_the_opened_one_out_of_memory(folder, monkeypatch):
    for i in range(2, 6):
        nifti(folder / "images" / f"s{i}.nii.gz", scene(i)[0], affine=affine())
    workspace, reads = Workspace(folder), []
    read = type(workspace.files)._read
    monkeypatch.setattr(type(workspace.files), "_read", lambda files, name: reads.append(name) or read(files, name))
    workspace.image("s0, slice 3")
    for scan in workspace.scans:
        workspace.thumbnail(f"{scan}, slice 5", glance=True)
    workspace.image("s0, slice 4")
    assert reads == ["s0", "s1", "s2", "s3", "s4", "s5"]


def test_confirmed_empty_slices_are_negatives_for_the_page_and_for_predict(tmp_path):
    image, labels = scene(0)
    nifti(tmp_path / "images" / "a.nii.gz", image, affine=affine())
    workspace = Workspace(tmp_path)
    values = workspace.files.scan("a").planes.view(labels == 1)
    for number in (1, 5, 10):
        workspace.save(f"a, slice {number}", values[number - 1].astype(int), seen="", confirm=True)
    assert [values[number].any() for number in (0, 4, 9)] == [False, True, False]
    shutil.rmtree(tmp_path / LABELLING)
    again = Workspace(tmp_path)
    assert again.confirmed() == ["a, slice 1", "a, slice 5", "a, slice 10"]
    assert not again.mask("a, slice 10").any()
    segmenter = Segmenter(Brightness())
    folder = open_volume_folder(tmp_path)
    shown = list(read_slices(segmenter, folder, "axial", SliceChoice(), modality="", labelled_only=True))
    assert [round(one.position * 9) for one in shown] == [0, 4, 9]
    assert [one.labels.any() for one in shown] == [False, True, False]
    names = read_examples(folder, labelled_only=True)[0].names
    assert len(names) == 2  # the labelled slice, and few of the empty ones
    again.save("a, slice 10", values[4].astype(int), seen=again.token("a, slice 10"), confirm=True)
    assert open_volume_folder(tmp_path)[0].confirmed_empty("axial") == [0]
    assert open_volume_folder(tmp_path)[0].confirmed_empty("coronal") == ()


def test_a_damaged_volume_or_mask_does_not_keep_the_others_from_being_labelled(folder):
    nifti(folder / "images" / "whole.nii.gz", scene(3)[0], affine=affine())
    for name in ("broken", "odd"):
        nifti(folder / "images" / f"{name}.nii.gz", scene(4)[0], affine=affine())
    (folder / "images" / "broken.nii.gz").write_bytes(b"damaged")
    nifti(folder / "masks" / "odd.nii.gz", np.ones((3, 4, 5), np.uint8), affine=affine())
    workspace = Workspace(folder)
    assert list(workspace.problems.all()) == ["broken", "odd"]
    assert "images/broken.nii.gz" in workspace.problems.of("broken")
    assert "masks/odd.nii.gz" in workspace.problem("odd, slice 1")
    assert {"whole", "odd"} <= set(workspace.scans)
    assert "broken" not in workspace.scans
    workspace.save("whole, slice 6", np.zeros(workspace.image("whole, slice 6").shape, int), seen="", confirm=True)
    assert workspace.order()[-1].startswith("odd")
