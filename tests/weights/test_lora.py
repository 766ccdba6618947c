import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from universeg_jax.errors import WeightsError
from universeg_jax.models.dinov2 import DINOv2, DINOv2Config
from universeg_jax.weights import load
from universeg_jax.weights.lora import (
    DOWN,
    UP,
    adapted_kernels,
    initial_adapters,
    is_lora,
    load_lora,
    merge,
    save_lora,
)
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import save

CONFIG = DINOv2Config(features=8, depth=2, heads=2, patch=4, grid=2)


def network(seed: int = 0) -> DINOv2:
    return DINOv2(CONFIG, rngs=nnx.Rngs(seed))


def random_adapters(rank: int = 2) -> dict[str, jax.Array]:
    """Adapters that change something."""
    fresh = initial_adapters(jax.random.key(0), get_parameters(network()), rank=rank)
    keys = jax.random.split(jax.random.key(1), len(fresh))
    return {name: jax.random.normal(key, value.shape) for key, (name, value) in zip(keys, fresh.items(), strict=True)}


def test_adapters_are_for_attention_and_mlp_of_every_block():
    names = adapted_kernels(get_parameters(network()))
    layers = [f"blocks.{i}.{layer}.kernel" for i in range(2) for layer in ("qkv", "out", "widen", "narrow")]
    assert sorted(names) == sorted(layers)


def test_fresh_adapters_change_nothing_and_have_their_deviation():
    parameters = get_parameters(network())
    adapters = initial_adapters(jax.random.key(0), parameters, rank=4)
    downs = np.concatenate([np.ravel(value) for name, value in adapters.items() if name.endswith(DOWN)])
    assert np.std(downs) == pytest.approx(1 / 4, rel=0.1)
    assert all(not np.any(value) for name, value in adapters.items() if name.endswith(UP))
    merged = merge(parameters, adapters)
    assert all(np.array_equal(merged[name], parameters[name]) for name in parameters)


def test_a_merged_layer_is_the_layer_plus_its_adapter():
    parameters, adapters = get_parameters(network()), random_adapters()
    name = "blocks.1.widen.kernel"
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    expected = x @ parameters[name] + (x @ adapters[name + DOWN]) @ adapters[name + UP]
    np.testing.assert_allclose(x @ merge(parameters, adapters)[name], expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_reaches_the_adapters_alone():
    """The gradient in up of sum(W') is down^T 1, in down it is 1 up^T."""
    parameters, adapters = get_parameters(network()), random_adapters()
    name = "blocks.0.qkv.kernel"
    found = jax.grad(lambda a: merge(parameters, a)[name].sum())(adapters)
    ones = jnp.ones(parameters[name].shape)
    np.testing.assert_allclose(found[name + UP], adapters[name + DOWN].T @ ones, rtol=1e-5)
    np.testing.assert_allclose(found[name + DOWN], ones @ adapters[name + UP].T, rtol=1e-5, atol=1e-5)


def test_a_folder_is_small_and_merged_on_load(tmp_path):
    model, adapters = network(), random_adapters()
    save(model, tmp_path / "base")
    save_lora(adapters, tmp_path / "lora", base=str(tmp_path / "base"), model=model)
    assert is_lora(tmp_path / "lora")
    assert not is_lora(tmp_path / "base")
    expected = merge(get_parameters(model), adapters)
    for found in (load(tmp_path / "lora"), load_lora(tmp_path / "lora", base=network())):
        values = get_parameters(found)
        assert all(np.allclose(values[name], expected[name], atol=1e-6) for name in expected)
    assert sum(file.stat().st_size for file in (tmp_path / "lora").iterdir()) < 30_000


def test_adapters_of_another_encoder_are_refused(tmp_path):
    save_lora(random_adapters(), tmp_path / "lora", base="dinov2-vits14", model=network())
    with pytest.raises(WeightsError, match=r"holds adapters for dinov2-vits14 .* Pass the base weights"):
        load_lora(tmp_path / "lora", base=network(seed=1))


def test_damaged_folders_are_named(tmp_path):
    save_lora(random_adapters(), tmp_path / "lora", base="x", model=network())
    with (tmp_path / "lora" / "adapters.npz").open("r+b") as file:
        file.seek(200)
        file.write(b"xx")
    with pytest.raises(WeightsError, match=r"adapters\.npz: is damaged"):
        load_lora(tmp_path / "lora", base=network())
    (tmp_path / "lora" / "lora.json").write_text("{}")
    with pytest.raises(WeightsError, match="is no folder of adapters"):
        load_lora(tmp_path / "lora", base=network())


@pytest.mark.parametrize("rank", [0, 9])
def test_ranks_out_of_range(rank):
    with pytest.raises(WeightsError, match=f"rank={rank}: pass 1 to 8"):
        initial_adapters(jax.random.key(0), get_parameters(network()), rank=rank)


def test_adapters_that_fit_no_kernel_are_refused():
    adapters = {"blocks.9.qkv.kernel" + DOWN: np.zeros((8, 2)), "blocks.9.qkv.kernel" + UP: np.zeros((2, 24))}
    with pytest.raises(WeightsError, match=r"adapter blocks\.9\.qkv\.kernel"):
        merge(get_parameters(network()), adapters)
