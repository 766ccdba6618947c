"""Exported weights in PyTorch."""

import json
from pathlib import Path

import numpy as np
import pytest

from universeg_jax.weights import export_universeg, import_universeg, load, load_torch, save_torch
from universeg_jax.weights.names.universeg import infer_config, universeg_from

pytestmark = pytest.mark.compare

GOLDEN = sorted((Path(__file__).parents[2] / "helpers" / "golden").glob("*.npz"))


def official_module(shapes):
    """A module tree whose state dict has these names and shapes."""
    import torch

    root = torch.nn.Module()
    for name, shape in shapes.items():
        *parents, last = name.split(".")
        module = root
        for parent in parents:
            if parent not in dict(module.named_children()):
                module.add_module(parent, torch.nn.Module())
            module = module.get_submodule(parent)
        module.register_parameter(last, torch.nn.Parameter(torch.randn(shape)))
    return root


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_exported_files_load_strictly_and_come_back(path, tmp_path):
    import torch

    with np.load(path) as file:
        module = official_module(json.loads(str(file["meta"]))["keys"])
    model = universeg_from({name: tensor.numpy() for name, tensor in module.state_dict().items()})
    save_torch(export_universeg(model), tmp_path / "exported.pt")
    again = official_module({name: tensor.shape for name, tensor in module.state_dict().items()})
    again.load_state_dict(torch.load(tmp_path / "exported.pt", weights_only=True), strict=True)
    for name, tensor in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_file_of_torch_save_fills_a_model(tmp_path):
    import torch

    tensors = export_universeg(load("open-v4"))
    torch.save({name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()}, tmp_path / "weights.pt")
    state_dict = load_torch(tmp_path / "weights.pt")
    assert infer_config(state_dict) == load("open-v4").config
    model = load("open-v4")
    import_universeg(model, state_dict)
    for name, tensor in export_universeg(model).items():
        np.testing.assert_array_equal(tensor, tensors[name])
