"""Reading and writing of PyTorch files. make_files.py makes the files."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from universeg_jax.errors import InputError, WeightsError
from universeg_jax.weights.torch_io.file import _find_state_dict, load_torch, save_torch
from universeg_jax.weights.torch_io.unpickle import Storage, Tensor

FILES = Path(__file__).parents[2] / "helpers" / "torch_files"
SAVED_DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
DTYPES = [*SAVED_DTYPES, "uint16", "uint32", "uint64"]

TWELVE = np.arange(12, dtype=np.float32)
EXPECTED = {
    "weight": np.ones(2, np.float32),
    "bias": np.zeros(2, np.float32),
    "running_mean": np.zeros(2, np.float32),
    "running_var": np.ones(2, np.float32),
    "num_batches_tracked": np.array(0, np.int64),
    **{dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES},
    "scalar": np.array(7.5, np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "parameter": np.arange(3, dtype=np.float32),
    "parameter_with_state": np.arange(3, dtype=np.float32),
    "frozen_parameter": np.arange(3, dtype=np.float32),
    "shared": TWELVE,
    "offset": TWELVE[2:8],
    "step": TWELVE[1::3],
    "transposed": TWELVE.reshape(3, 4).T,
    "channels_last": TWELVE.reshape(1, 2, 2, 3),
    "expanded": np.array([[0, 0, 0], [1, 1, 1]], np.float32),
    "clé.π": np.ones(1, np.float32),
}


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype, name
        assert actual[name].shape == array.shape, name
        assert actual[name].tobytes() == np.ascontiguousarray(array).tobytes(), name


@pytest.mark.parametrize("file", ["zip.pt", "legacy.pt", "protocol4.pt"])
def test_every_kind_of_tensor_is_read_exactly(file):
    assert_same(load_torch(FILES / file), EXPECTED)


@pytest.mark.parametrize("file", ["zip.pt", "legacy.pt"])
def test_arrays_are_independent(file):
    arrays = load_torch(str(FILES / file))
    for array in arrays.values():
        assert array.flags.writeable
        assert array.flags.c_contiguous
        assert array.flags.owndata
    arrays["shared"][:] = -1
    arrays["expanded"][0, 0] = -1
    np.testing.assert_array_equal(arrays["offset"], TWELVE[2:8])
    np.testing.assert_array_equal(arrays["expanded"][0], [-1, 0, 0])


def test_shared_storages_are_read_once(monkeypatch):
    """Or a model whose parameters are views of one flat buffer would take forever."""
    names = []
    read = zipfile.ZipFile.read
    monkeypatch.setattr("zipfile.ZipFile.read", lambda self, name: names.append(name) or read(self, name))
    load_torch(FILES / "zip.pt")
    assert len(names) == len(set(names)) > 20


def test_checkpoint_gives_its_state_dict():
    expected = {"weight": np.ones((1, 2), np.float32), "bias": np.zeros(1, np.float32)}
    assert_same(load_torch(FILES / "checkpoint.pt"), expected)
    assert_same(load_torch(FILES / "checkpoint.pt", key="model_state_dict"), expected)


def test_several_state_dicts_need_a_key():
    with pytest.raises(WeightsError, match=r"ambiguous\.pt.*key=.*'model', 'ema'"):
        load_torch(FILES / "ambiguous.pt")
    assert load_torch(FILES / "ambiguous.pt", key="ema")["w"] == 0


def test_wrong_key_lists_the_keys():
    with pytest.raises(WeightsError, match=r"'weights'.*'model', 'ema'"):
        load_torch(FILES / "ambiguous.pt", key="weights")
    with pytest.raises(WeightsError, match="'optimizer' is not a dictionary of tensors"):
        load_torch(FILES / "checkpoint.pt", key="optimizer")


MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
LITTLE = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)


def test_file_of_python_2(tmp_path):
    """Byte strings, OrderedDict from a list of lists, _rebuild_tensor with a torch.Size: PyTorch 0.1 to 0.3."""
    tensor = (
        b"ctorch._utils\n_rebuild_tensor\n((U\x07storagectorch\nFloatStorage\nU\x011U\x03cpuK\x03NtQ"
        b"K\x01ctorch\nSize\nK\x02\x85\x85RK\x01\x85tR"
    )
    body = b"\x80\x02ccollections\nOrderedDict\n](](U\x06weight" + tensor + b"ee\x85R."
    storage = struct.pack("<q3f", 3, 1.0, 2.0, 3.0)
    (tmp_path / "old.pth").write_bytes(MAGIC + LITTLE + body + pickle.dumps(["1"], 2) + storage)
    assert_same(load_torch(tmp_path / "old.pth"), {"weight": np.array([2, 3], np.float32)})


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.sampled_from(SAVED_DTYPES).flatmap(
            lambda name: hnp.arrays(
                np.uint8, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4), elements=st.integers(0, 255)
            ).map(lambda array: array.astype(name))
        ),
        max_size=4,
    )
)
@settings(deadline=None, derandomize=True)
def test_saved_files_load_identical(tmp_path_factory, state_dict):
    path = tmp_path_factory.getbasetemp() / "round_trip.pt"
    save_torch(state_dict, path)
    assert_same(load_torch(path), state_dict)


def test_saving_is_deterministic_and_accepts_views_and_jax_arrays(tmp_path):
    state_dict = {"jax": jnp.arange(3, dtype=jnp.bfloat16), "view": TWELVE.reshape(3, 4).T[::2]}
    save_torch(state_dict, tmp_path / "a.pt")
    save_torch(state_dict, tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    expected = {"jax": np.arange(3).astype(ml_dtypes.bfloat16), "view": TWELVE.reshape(3, 4).T[::2]}
    assert_same(load_torch(tmp_path / "a.pt"), expected)


@pytest.mark.parametrize(
    ("state_dict", "message"),
    [
        ({"w": np.zeros(2, np.complex64)}, "'w' has dtype complex64"),
        ({"w": np.zeros(2, np.uint16)}, "'w' has dtype uint16"),
        ({"w": np.array([None])}, "'w' has dtype object"),
        ({3: np.zeros(2)}, "the name 3 is not a string"),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_file(tmp_path, state_dict, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"old")
    with pytest.raises(WeightsError, match=message):
        save_torch(state_dict, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.pt"]


def test_failure_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"old")

    def disk_full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.writestr", disk_full)
    with pytest.raises(InputError, match=r"weights\.pt: cannot be written: No space left"):
        save_torch({"w": np.zeros(2)}, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.pt"]


def test_saving_into_a_missing_folder(tmp_path):
    with pytest.raises(WeightsError, match="No such file or directory"):
        save_torch({"w": np.zeros(2)}, tmp_path / "missing" / "weights.pt")


def test_state_dicts_lie_deeper_and_next_to_plain_values():
    float32 = np.dtype(np.float32)
    tensors = {"w": Tensor(Storage("0", float32, 1), float32, 0, (1,), (1,))}
    assert _find_state_dict({"run": {"net": tensors, "epoch": 3}, "best": 0.5}, None) is tensors
    assert _find_state_dict({"run": {"net": tensors, "old": tensors}}, "run.old") is tensors
    assert _find_state_dict({**tensors, "epoch": 3}, None) == tensors
    assert _find_state_dict({"net": tensors, "optimizer": {"state": {0: tensors}}}, None) is tensors
