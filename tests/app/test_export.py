import zipfile

import numpy as np
import pytest

from tests.helpers.make_sources import complete_series, dicom_series
from tests.helpers.stand_in import bright_disc, save
from universeg_jax.app.export import export_zip
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.io.task_folder import read_support
from universeg_jax.io.volume_files import read_label_volume, read_volume


def test_an_export_is_a_support_folder_with_an_overview(tmp_path):
    for i in range(3):
        image, mask = bright_disc(i)
        save(tmp_path / "task" / "images" / f"s{i}.png", image)
        if i < 2:
            save(tmp_path / "task" / "masks" / f"s{i}.png", mask)
    workspace = Workspace(tmp_path / "task")
    workspace.name_class(255, "disc")
    (tmp_path / "out").mkdir()
    file, problems = export_zip(workspace, tmp_path / "out")
    assert problems == []
    with zipfile.ZipFile(file) as packed:
        packed.extractall(tmp_path / "again")
    support = read_support(tmp_path / "again")
    assert support.names == ["s0", "s1"]
    assert support.class_names == {0: "0", 255: "disc"}
    assert (tmp_path / "again" / "overview.png").stat().st_size > 1000


def test_without_a_mask_there_is_nothing_to_export(tmp_path):
    save(tmp_path / "images" / "a.png", bright_disc(0)[0])
    with pytest.raises(InputError, match="no mask is saved yet"):
        export_zip(Workspace(tmp_path), tmp_path)


def test_volumes_are_exported_as_nifti_and_dicom_segmentation(tmp_path):
    voxels = np.random.default_rng(0).integers(-900, 900, (20, 24, 4))
    for name in ("a", "b"):
        dicom_series(tmp_path / "images" / name, voxels)
    complete_series(tmp_path / "images" / "a")  # the headers of the other one are too poor for a segmentation
    workspace = Workspace(tmp_path)
    workspace.name_class(1, "liver")
    values = {name: np.zeros(workspace.image("a, slice 1").shape, int) for name in ("a, slice 2", "b, slice 3")}
    for name in values:
        values[name][4:9, 5:12] = 1
        workspace.save(name, values[name], seen="", confirm=True)
    (tmp_path / "out").mkdir()
    file, problems = export_zip(workspace, tmp_path / "out")
    assert len(problems) == 1
    assert "b: its header does not allow a DICOM segmentation" in problems[0]
    with zipfile.ZipFile(file) as packed:
        packed.extractall(tmp_path / "again")
    found = sorted(str(path.relative_to(tmp_path / "again")) for path in (tmp_path / "again").rglob("*.*"))
    expected = ["classes.json", "dicom-seg/a.dcm", "masks/a.nii.gz", "masks/b.nii.gz", "overview.png", "states.json"]
    assert found == expected
    image = read_volume(tmp_path / "images" / "a")
    as_nifti, _ = read_label_volume(tmp_path / "again" / "masks" / "a.nii.gz", image)
    as_dicom, names = read_label_volume(tmp_path / "again" / "dicom-seg" / "a.dcm", image)
    np.testing.assert_array_equal(as_nifti.voxels, as_dicom.voxels)
    assert names == {1: "liver"}
    assert as_nifti.voxels.sum() == 35
