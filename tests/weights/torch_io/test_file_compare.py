"""Our PyTorch files against PyTorch itself, both ways."""

from pathlib import Path

import numpy as np
import pytest

from universeg_jax.weights.torch_io.file import load_torch, save_torch

pytestmark = pytest.mark.compare

FILES = Path(__file__).parents[2] / "helpers" / "torch_files"
DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def tensors_of_all_dtypes(extra=()):
    import torch

    generator = torch.Generator().manual_seed(0)
    values = torch.randn((3, 5), generator=generator, dtype=torch.float64) * 50
    return {name: values.abs().to(getattr(torch, name)) for name in (*DTYPES, *extra)}


def assert_same(arrays, tensors):
    import torch

    assert list(arrays) == list(tensors)
    for name, tensor in tensors.items():
        assert str(tensor.dtype) == f"torch.{arrays[name].dtype}"
        assert tuple(tensor.shape) == arrays[name].shape
        raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        assert raw.tobytes() == arrays[name].tobytes()


@pytest.mark.parametrize("zip_format", [True, False])
def test_what_torch_writes_is_read_identical(tmp_path, zip_format):
    import torch

    tensors = tensors_of_all_dtypes(extra=("uint16", "uint32", "uint64"))
    torch.save(tensors, tmp_path / "weights.pt", _use_new_zipfile_serialization=zip_format)
    assert_same(load_torch(tmp_path / "weights.pt"), tensors)


def test_the_file_of_the_tests_reads_identical():
    import torch

    assert_same(load_torch(FILES / "zip.pt"), torch.load(FILES / "zip.pt", weights_only=True))


@pytest.mark.parametrize("mmap", [True, False])
def test_torch_reads_what_we_write(tmp_path, mmap):
    import torch

    arrays = load_torch(FILES / "zip.pt")
    arrays = {name: array for name, array in arrays.items() if name not in ("uint16", "uint32", "uint64")}
    save_torch(arrays, tmp_path / "weights.pt")
    assert_same(arrays, torch.load(tmp_path / "weights.pt", weights_only=True, mmap=mmap))


def test_modules_load_what_we_write(tmp_path):
    import torch

    source, target = (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)) for _ in range(2))
    save_torch({name: tensor.numpy() for name, tensor in source.state_dict().items()}, tmp_path / "weights.pt")
    target.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True), strict=True)
    for name, tensor in source.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), target.state_dict()[name].numpy())
