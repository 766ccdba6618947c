"""Pickles that try to run code, to read outside of their storage or to fill the memory are refused."""

import functools
import os
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.torch_crafting import BOTH_FORMATS, FILES, LITTLE, MAGIC, PROTOCOL, legacy_with, refusal, zip_with
from universeg_jax.weights.torch_io import unpickle
from universeg_jax.weights.torch_io.file import load_torch


class Call:
    """Pickles as a call, with a state if given."""

    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.parts


PAYLOADS = {
    "mkdir": lambda canary: Call(os.mkdir, canary),
    "system": lambda canary: Call(os.system, f"mkdir '{canary}'"),
    "eval": lambda canary: Call(eval, f"__import__('os').mkdir({canary!r})"),
    "exec": lambda canary: Call(exec, f"__import__('os').mkdir({canary!r})"),
    "partial": lambda canary: Call(functools.partial(os.mkdir, canary)),
    "method": lambda canary: Call(Path.mkdir, Path(canary)),
}

# The same by instructions that the pickle module does not write: attributes of modules, INST, OBJ.
WRITTEN_PAYLOADS = {
    "getattr": "cbuiltins\ngetattr\n(cbuiltins\n__import__\n(Vos\ntRVmkdir\ntR(V{canary}\ntR.",
    "inst": "(V{canary}\nios\nmkdir\n.",
    "obj": "(cos\nmkdir\nV{canary}\no.",
}


def assert_refused_unexecuted(tmp_path, canary: Path, body: bytes):
    files = [zip_with(body), legacy_with(body), body]
    # In place of the pickles around the one that matters, too.
    files += [MAGIC + body, MAGIC + PROTOCOL + body, MAGIC + PROTOCOL + LITTLE + pickle.dumps({}, 2) + body]
    for content in files:
        refusal(tmp_path, content)
        assert not canary.exists()


def assert_harmful(canary: Path, body: bytes):
    """Without this, a payload that does nothing would prove nothing."""
    pickle.loads(body)
    assert canary.exists()
    canary.rmdir()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", PAYLOADS)
def test_nothing_is_executed(tmp_path, name, protocol):
    canary = tmp_path / "canary"
    payload = PAYLOADS[name](str(canary))
    assert_harmful(canary, pickle.dumps(payload, protocol))
    for value in (payload, {"w": payload}, [(payload,)], {"w": Call(dict, state=payload)}):
        assert_refused_unexecuted(tmp_path, canary, pickle.dumps(value, protocol))


@pytest.mark.parametrize("name", WRITTEN_PAYLOADS)
def test_nothing_is_executed_by_hand_written_pickles(tmp_path, name):
    canary = tmp_path / "canary"
    body = WRITTEN_PAYLOADS[name].format(canary=canary).encode()
    assert_harmful(canary, body)
    assert_refused_unexecuted(tmp_path, canary, b"\x80\x02" + body)


def tensor(
    rebuild=b"ctorch._utils\n_rebuild_tensor_v2\n",
    storage=b"ctorch\nFloatStorage\n",
    *,
    numel=3,
    offset=0,
    size=(3,),
    stride=(1,),
):
    """The pickled description of a tensor of float32, with room for ill-meant parts."""

    def literal(value):
        return pickle.dumps(value, 2)[2:-1]

    identifier = b"(" + literal("storage") + storage + literal("0") + literal("cpu") + literal(numel) + b"tQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    return rebuild + b"(" + identifier + literal(offset) + literal(size) + literal(stride) + b"\x89" + hooks + b"tR"


def state_dict_of(description: bytes) -> bytes:
    return b"\x80\x02}X\x01\x00\x00\x00w" + description + b"s."


THREE = np.arange(3, dtype=np.float32).tobytes()


@BOTH_FORMATS
def test_the_description_used_below_is_read(tmp_path, file_with):
    path = tmp_path / "weights.pt"
    path.write_bytes(file_with(state_dict_of(tensor()), THREE))
    np.testing.assert_array_equal(load_torch(path)["w"], [0, 1, 2])


@BOTH_FORMATS
@pytest.mark.parametrize(
    ("description", "message"),
    [
        (tensor(rebuild=b"cposix\nsystem\n"), "'posix.system'"),
        (tensor(storage=b"cos\nsystem\n"), "'os.system'"),
        (tensor(storage=b"ctorch._utils\n_rebuild_tensor\n"), "not a whole storage"),
        (b"cuniverseg_jax.weights.torch_names\nos\n", "universeg_jax"),
        (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n", "__globals__"),
        (b"ccollections\nOrderedDict.__subclasses__\n)R", "__subclasses__"),
        (b"cnumpy._core.multiarray\nscalar\n", "'numpy._core.multiarray.scalar'"),
        (b"ctorch\nComplexFloatStorage\n", "'torch.ComplexFloatStorage'"),
        (b"c__main__\nUNet\n)\x81", "'__main__.UNet'"),
        (b"(S'true'\nios\nsystem\n", "instruction STRING"),
        (b"(cos\nsystem\no", "'os.system'"),
        (b"(ios\nsystem\n", "instruction INST"),
        (b"\x82\x01", "instruction EXT1"),
        (b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93", "'os.system'"),
        (b"]]\x93", "not a string"),
        (b"K\x01)R", "not a function"),
        (b"ctorch\nfloat32\n)R", "not a function"),
        (b"]}b", "not an OrderedDict"),
        (tensor() + b"}b", "not an OrderedDict"),
        (b"PX\n", "instruction PERSID"),
        (b"K\x01Q", "not a whole storage"),
        (b"(X\x06\x00\x00\x00moduleNNNtQ", "not a whole storage"),
        (tensor()[:-2] + b"}X\x04\x00\x00\x00conj\x88stR", "resolve_conj"),
        (b"}K\x01K\x02\x86K\x03s", "key of type tuple"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "missing"),
        (b"h\x07", "makes no sense"),
        (b"sssss", "makes no sense"),
    ],
)
def test_other_instructions_are_refused_by_name(tmp_path, file_with, description, message):
    assert message in refusal(tmp_path, file_with(state_dict_of(description), THREE))


@BOTH_FORMATS
@pytest.mark.parametrize(
    ("description", "message"),
    [
        (tensor(size=(4,)), "'w' of shape (4,) reaches beyond its storage of 12 bytes"),
        (tensor(offset=1), "reaches beyond"),
        (tensor(stride=(2,)), "reaches beyond"),
        (tensor(size=(2, 2), stride=(2, 1)), "reaches beyond"),
        (tensor(size=(1,), offset=2**64), "reaches beyond"),
        (tensor(offset=-1), "at least 0"),
        (tensor(offset=2, stride=(-1,)), "at least 0"),
        (tensor(size=(-1,)), "at least 0"),
        (tensor(size=(True,)), "whole number"),
        (tensor(size=(1.0,)), "whole number"),
        (tensor(size=(3, 1)), "one length"),
        (tensor(size=[3]), "not tuples"),
        (tensor(size=(1,) * 65, stride=(1,) * 65), "at most 64"),
        (tensor(size=(2**40,), stride=(0,)), "larger than a file of this size"),
        (tensor(size=(2**12,) * 2, stride=(0, 0)), "larger than a file of this size"),
        (tensor(size=(0, 2**62), stride=(1, 1)), "larger than a file of this size"),
        (tensor(numel=-3), "not a whole storage"),
        (tensor(numel=4), "damaged"),
    ],
)
def test_tensors_stay_inside_their_storage(tmp_path, file_with, description, message):
    assert message in refusal(tmp_path, file_with(state_dict_of(description), THREE))


def test_a_side_of_one_may_have_any_stride(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(zip_with(state_dict_of(tensor(size=(1, 3), stride=(2**70, 1))), THREE))
    np.testing.assert_array_equal(load_torch(path)["w"], [[0, 1, 2]])


@pytest.fixture
def peak_memory():
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@BOTH_FORMATS
@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # BINUNICODE of 2 GiB
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",  # BINUNICODE8 of 8 EiB
        b"\x80\x02T\xff\xff\xff\x7fabc.",  # BINSTRING of 2 GiB
        b"\x80\x02\x8b\xff\xff\xff\x7fabc.",  # LONG4 of 2 GiB
        b"\x80\x02Nr\xff\xff\xff\x7f0.",  # LONG_BINPUT at 2**31
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\x00\x00abc.",  # BYTEARRAY8
    ],
)
def test_claimed_lengths_reserve_nothing(tmp_path, file_with, body, peak_memory):
    refusal(tmp_path, file_with(body))
    assert peak_memory() < 2**22


@BOTH_FORMATS
def test_claimed_storages_reserve_nothing(tmp_path, file_with, peak_memory):
    refusal(tmp_path, file_with(state_dict_of(tensor(numel=2**40, size=(2**40,))), THREE))
    assert peak_memory() < 2**22


PAIRS = b"".join(b"](K" + bytes([number]) + b"Ne" for number in range(256))


@pytest.mark.parametrize("copy", [b"ccollections\nOrderedDict\nh\x01\x85R", b"ctorch\nSize\nh\x01\x85R"])
def test_a_list_cannot_be_copied_over_and_over(tmp_path, copy, peak_memory):
    refusal(tmp_path, zip_with(b"\x80\x02](" + PAIRS + b"eq\x01" + copy * 2000 + b"N."))
    assert peak_memory() < 2**22


@BOTH_FORMATS
def test_deep_nests(tmp_path, file_with):
    nest = b")" + b"\x85" * 200_000
    refusal(tmp_path, file_with(b"\x80\x02" + nest + b"."))
    refusal(tmp_path, file_with(b"\x80\x02}" + nest + b"Ns."))
    refusal(tmp_path, file_with(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."))


def test_too_many_instructions(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_INSTRUCTIONS", 100)
    assert "more than 100 instructions" in refusal(tmp_path, FILES.joinpath("zip.pt").read_bytes())
