"""Check that no package imports a higher one, and that no two classes share a name."""

import ast
from collections import defaultdict
from pathlib import Path

import universeg_jax

ROOT = Path(universeg_jax.__path__[0])
LAYERS = ("util", "nn", "models", "weights", "io", "segment", "data", "evaluate", "train", "deploy", "app", "cli")
"""Packages from the lowest to the highest. A package imports from itself and from those before it."""

LOW = {"evaluate.metrics"}
"""Modules that lower packages may import too: they import no package of this library but `util`."""

TREES = {file.relative_to(ROOT): ast.parse(file.read_text(encoding="utf-8")) for file in ROOT.rglob("*.py")}


def imported(tree: ast.Module) -> set[str]:
    """Return the modules of this library that a module imports when it is imported itself."""
    modules = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {name.removeprefix("universeg_jax.") for name in modules if name.startswith("universeg_jax.")}


def layer(module: str) -> int:
    """Return the height of the package of a module; -1 outside the packages."""
    package = module.split(".")[0]
    return LAYERS.index(package) if package in LAYERS else -1


def test_imports_go_one_way():
    upward = [
        f"{path} imports {module}"
        for path, tree in TREES.items()
        for module in imported(tree) - LOW
        if layer(module) > layer(path.parts[0]) >= 0
    ]
    assert upward == []


def test_low_modules_import_only_helpers():
    for module in LOW:
        assert all(
            layer(name) <= layer("util") for name in imported(TREES[Path(*module.split(".")).with_suffix(".py")])
        )


def test_a_class_name_has_one_meaning():
    places = defaultdict(list)
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
