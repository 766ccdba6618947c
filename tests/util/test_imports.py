"""Hints about missing packages name a command that works."""

import shlex
import threading

from universeg_jax.util import imports


def test_modules_are_imported_in_the_background_and_missing_ones_left_to_the_import_statement(monkeypatch):
    imported = []
    monkeypatch.setattr(imports, "import_module", lambda name: imported.append((name, threading.get_ident())))
    imports.import_meanwhile("one", "other").join(10)
    assert [name for name, _ in imported] == ["one", "other"]
    assert {thread for _, thread in imported} != {threading.get_ident()}
    monkeypatch.undo()
    imports.import_meanwhile("no_such_module_here").join(10)


def test_a_source_folder_is_installed_from_where_it_is():
    command = shlex.split(imports.install_command("train"))
    assert command[:3] == ["pip", "install", "-e"]
    folder = command[3].removesuffix("[train]")
    assert (imports.Path(folder) / "pyproject.toml").is_file()


def test_an_installed_package_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(imports, "_ROOT", tmp_path)
    stated = [
        "jax>=0.10",
        'optax>=0.2; extra == "train"',
        "grain; extra == 'train'",
        'universeg-jax[beam,train]; extra == "dev"',
        'apache-beam>=2.60; extra == "beam"',
    ]
    monkeypatch.setattr(imports, "requires", lambda name: stated)
    assert imports.install_command("train") == "pip install 'optax>=0.2' grain"
    assert imports.install_command("dev") == "pip install 'apache-beam>=2.60' 'optax>=0.2' grain"
