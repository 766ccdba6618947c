"""Checkpoints as training code leaves them: prefixes, other tensors, several networks in one file."""

import warnings

import numpy as np
import pytest

from tests.helpers.torch_crafting import FILES
from universeg_jax.errors import WeightsError
from universeg_jax.weights.conversion import SIGNS, read_checkpoint, without_prefix
from universeg_jax.weights.torch_io.file import save_torch

NETWORK = {"enc_blocks.0.cross.cross_conv.weight": np.ones((2, 2)), "out_conv.bias": np.zeros(1)}


def prefixed(prefix, network=None):
    return {f"{prefix}{name}": tensor for name, tensor in (network or NETWORK).items()}


def write(path, state_dict):
    save_torch({name: np.asarray(tensor, np.float32) for name, tensor in state_dict.items()}, path)
    return path


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "a.b.c."])
def test_a_common_prefix_is_removed_and_named(tmp_path, prefix):
    file = write(tmp_path / "a.pt", prefixed(prefix))
    with pytest.warns(UserWarning, match=rf"a\.pt: the prefix '{prefix}' of its tensors is removed$"):
        assert list(read_checkpoint(file)) == list(NETWORK)


def test_tensors_outside_the_network_are_named(tmp_path):
    file = write(tmp_path / "a.pt", prefixed("model.") | {"criterion.weight": np.ones(3)})
    with pytest.warns(UserWarning, match=r"removed; not part of the network, ignored: criterion\.weight"):
        assert list(read_checkpoint(file)) == list(NETWORK)


def test_several_networks_need_a_key(tmp_path):
    file = write(tmp_path / "a.pt", prefixed("student.") | prefixed("teacher.", {n: t + 5 for n, t in NETWORK.items()}))
    with pytest.raises(WeightsError, match=r"a\.pt: holds several networks: pass key= \(or --key\) one of student, t"):
        read_checkpoint(file)
    with pytest.warns(UserWarning, match=r"'teacher\.'"):
        assert read_checkpoint(file, key="teacher")["out_conv.bias"] == 5
    with pytest.raises(WeightsError, match="key='nobody' is not a dictionary of tensors"):
        read_checkpoint(file, key="nobody")


@pytest.mark.parametrize("sign", SIGNS)
def test_networks_without_prefix_stay_as_they_are(sign):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(without_prefix({sign: np.ones(1), "module.x": np.ones(1)}, "a.pt")) == [sign, "module.x"]
        assert list(without_prefix({"conv.weight": np.ones(1)}, "a.pt")) == ["conv.weight"]
    with pytest.warns(UserWarning, match="removed"):
        assert list(without_prefix({f"module.{sign}": np.ones(1)}, "a.pt")) == [sign]


def test_key_of_several_dictionaries():
    assert read_checkpoint(FILES / "ambiguous.pt", key="ema")["w"] == 0
