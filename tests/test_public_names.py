"""Compare what editors see of each package with what Python gives."""

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

import universeg_jax as uj

PACKAGES = ["universeg_jax", *(f"universeg_jax.{name}" for name in ("data", "evaluate", "io", "train", "weights"))]


def names_for_editors(package: str) -> dict[str, str]:
    """Return public name -> module of the imports under `if TYPE_CHECKING`."""
    module = ast.parse(inspect.getsource(importlib.import_module(package)))
    branch = next(node for node in module.body if isinstance(node, ast.If))
    assert ast.unparse(branch.test) == "TYPE_CHECKING"
    imports = {}
    for node in branch.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "type checkers take a name as public only if it is written twice"
            imports[alias.name] = node.module
    return imports


@pytest.mark.parametrize("package", PACKAGES)
def test_editors_and_python_see_the_same_names(package):
    names = names_for_editors(package)
    module = importlib.import_module(package)
    assert set(module.__all__) - {"__version__"} == set(names) == set(dir(module)) - {"__version__"}
    for name, home in names.items():
        defined = getattr(importlib.import_module(home), name)
        assert getattr(module, name) is defined
        if inspect.isclass(defined) or inspect.isfunction(defined):
            assert defined.__module__ == home, f"{name} is defined elsewhere"


def test_all_promised_names_are_there():
    promised = """CrossBlock CrossConv ProtoSAM ProtoSAMConfig Segmenter UniverSeg UniverSegConfig protosam universeg
    weights load InputError SegmentationWarning InContextModel Segmentation Task SAM SAMConfig DINOv2 DINOv2Config
    ComponentsConfig Keep __version__ data train evaluate"""
    assert set(promised.split()) == set(uj.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        _ = importlib.import_module(package).nonsense


def test_importing_the_package_does_not_import_jax():
    program = "import sys, universeg_jax as uj; uj.__version__, uj.data, uj.train; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_load_is_the_loader_of_weights():
    assert uj.load is uj.weights.load
