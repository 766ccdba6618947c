"""`universeg-jax app`: what is refused before anything is served, and how it ends. tests/app has the page itself."""

import os
import signal
from pathlib import Path

import gradio
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


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_closed_terminal_ends_the_page_as_ctrl_c_does(name, tmp_path, monkeypatch):
    save(tmp_path / "a.png", bright_disc(0)[0])
    before, caches = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}, []

    def served(page):
        caches.append(Path(os.environ["GRADIO_TEMP_DIR"]))
        assert any(caches[0].rglob("*.png"))
        os.kill(os.getpid(), getattr(signal, name))

    monkeypatch.setattr(gradio.Blocks, "launch", lambda page, **_: (None, "an address", None))
    monkeypatch.setattr(gradio.Blocks, "block_thread", served)
    try:
        assert main(["app", str(tmp_path)]) == 0
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert not caches[0].exists()
