"""The folder an export writes, used as its README.md says."""

import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from universeg_jax.deploy import artifact
from universeg_jax.errors import InputError
from universeg_jax.weights import card

# Neither this library nor its dependencies may be imported, except JAX.
ALONE = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("universeg_jax", "flax", "orbax", "jax2onnx"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Forbidden())
"""
SAVE = """
np.savez("result.npz", *[np.asarray(x) for x in (target, support_images, support_labels, support_mask, logits, masks)])
"""


def code_of_readme(path):
    return re.findall(r"```python\n(.*?)```", (path / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def run_readme(path):
    """Run the code in README.md where nothing but JAX and onnxruntime are to be had; inputs and outputs."""
    subprocess.run([sys.executable, "-c", "\n".join([ALONE, *code_of_readme(path), SAVE])], cwd=path, check=True)
    return list(np.load(path / "result.npz").values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [artifact.JAX, artifact.ONNX], ids=lambda kind: kind.file)
def test_readme_runs_without_this_library(network, tmp_path, kind):
    small = network(stages=2)
    artifact.write_export(tmp_path, small, "open-v4", [kind], size=16)
    target, images, labels, mask, logits, masks = run_readme(tmp_path)
    expected = np.asarray(small(target, images[None], labels[None], mask[None]))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(masks, logits > 0)


def test_description_tells_weights_shapes_and_checksums(network, tmp_path):
    artifact.write_export(tmp_path, network(stages=2), "open-v4", [artifact.JAX], size=24)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(artifact.output_files("open-v4", [artifact.JAX]))
    description = json.loads((tmp_path / "export.json").read_text(encoding="utf-8"))
    assert description["weights"] == {"name": "open-v4", "licence": "research use only"}
    assert description["inputs"]["support_images"] == "(S,24,24,1)"
    content = (tmp_path / "universeg.jax").read_bytes()
    assert description["sha256"] == {"universeg.jax": hashlib.sha256(content).hexdigest()}
    assert b".py" not in content  # paths of this machine, in the locations of operations
    assert (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8") == card("open-v4")
    assert "Licence of the weights: research use only" in (tmp_path / "README.md").read_text(encoding="utf-8")


def flip(file, other):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file, other):
    file.write_bytes(file.read_bytes()[:-1])


def exchange(file, other):
    other.rename(file)


@pytest.mark.parametrize("damage", [flip, cut, exchange])
def test_damaged_and_exchanged_files_are_refused_by_the_code_of_the_readme(monkeypatch, tmp_path, damage):
    kind = artifact.Format("universeg.jax", (), lambda model, *, size: b"network %d" % size, artifact.WITH_JAX)
    for size in (16, 24):
        (tmp_path / str(size)).mkdir()
        artifact.write_export(tmp_path / str(size), None, "open-v4", [kind], size=size)
    monkeypatch.chdir(tmp_path / "16")
    [definition] = [code for code in code_of_readme(tmp_path / "16") if "def read" in code]
    found = {}
    exec(definition, found)
    assert found["read"]("universeg.jax") == b"network 16"
    damage(tmp_path / "16" / "universeg.jax", tmp_path / "24" / "universeg.jax")
    with pytest.raises(ValueError, match=r"universeg\.jax: is damaged, or belongs to another export"):
        found["read"]("universeg.jax")


def test_missing_packages_are_named_with_the_way_to_get_them(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jax2onnx" else object())
    artifact.check_installed([artifact.JAX])
    with pytest.raises(InputError, match=r"universeg\.onnx .* without jax2onnx: pip install "):
        artifact.check_installed([artifact.JAX, artifact.ONNX])
