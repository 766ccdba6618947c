"""`universeg-jax app`: what is refused before anything is served. tests/app has the page itself."""

import pytest

from universeg_jax.cli.main import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "pass a FOLDER of images, or --demo"),
        (["{folder}", "--demo"], "pass a FOLDER of images, or --demo"),
        (["{folder}/missing"], "there is no such folder"),
        (["{folder}"], "holds no PNG, JPEG, BMP or TIFF images"),
    ],
)
def test_unusable_folders_are_named(options, message, tmp_path, capsys):
    assert main(["app", *(option.format(folder=tmp_path) for option in options)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
