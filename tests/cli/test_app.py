"""`universeg-jax app`: what is refused before anything is served. tests/app has the page itself."""

import pytest

from tests.helpers.stand_in import bright_disc, save
from universeg_jax.cli.main import main
from universeg_jax.util.files import locked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "pass a FOLDER of images, or --demo"),
        (["{folder}", "--demo"], "pass a FOLDER of images, or --demo"),
        (["{folder}", "--port", "99999"], "--port=99999: pass a whole number at least 1 and at most 65535"),
        (["{folder}/missing"], "there is no such folder"),
        (["{folder}"], "holds no PNG, JPEG, BMP or TIFF images"),
    ],
)
def test_unusable_folders_are_named(options, message, tmp_path, capsys):
    assert main(["app", *(option.format(folder=tmp_path) for option in options)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_options_that_do_not_fit_the_folder_are_named(tmp_path, capsys):
    save(tmp_path / "a.png", bright_disc(0)[0])
    assert main(["app", str(tmp_path), "--axis", "axial"]) == 2
    assert "holds pictures; an axis is for volumes" in capsys.readouterr().err
    assert main(["app", str(tmp_path), "--model", "nonsense"]) == 2
    assert "unknown weights 'nonsense'" in capsys.readouterr().err
    with locked(tmp_path):
        assert main(["app", str(tmp_path)]) == 2
    assert "is open in another page" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
