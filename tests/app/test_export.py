import zipfile

import pytest

from tests.helpers.stand_in import bright_disc, save
from universeg_jax.app.export import export_zip
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.io.task_folder import read_support


def test_an_export_is_a_support_folder_with_an_overview(tmp_path):
    for i in range(3):
        image, mask = bright_disc(i)
        save(tmp_path / "task" / "images" / f"s{i}.png", image)
        if i < 2:
            save(tmp_path / "task" / "masks" / f"s{i}.png", mask)
    workspace = Workspace(tmp_path / "task")
    workspace.name_class(255, "disc")
    (tmp_path / "out").mkdir()
    with zipfile.ZipFile(export_zip(workspace, tmp_path / "out")) as packed:
        packed.extractall(tmp_path / "again")
    support = read_support(tmp_path / "again")
    assert support.names == ["s0", "s1"]
    assert support.class_names == {0: "0", 255: "disc"}
    assert (tmp_path / "again" / "overview.png").stat().st_size > 1000


def test_without_a_mask_there_is_nothing_to_export(tmp_path):
    save(tmp_path / "images" / "a.png", bright_disc(0)[0])
    with pytest.raises(InputError, match="no mask is saved yet"):
        export_zip(Workspace(tmp_path), tmp_path)
