import dataclasses

import jax
import numpy as np
import optax
import pytest

from tests.helpers.array_data import STAGE, TINY, config
from universeg_jax.train.learner import initial_model, initial_state, learning_rates, make_optimizer, with_parameters
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import save


def test_learning_rates_rise_and_fall_in_every_stage():
    first = dataclasses.replace(STAGE, steps=10, warmup_steps=2, learning_rate=1.0, final_learning_rate=0.2)
    second = dataclasses.replace(STAGE, steps=4, learning_rate=0.5)
    rates = [float(learning_rates(config(stages=(first, second)))(step)) for step in range(14)]
    falling = [0.2 + 0.8 * (1 + np.cos(np.pi * i / 8)) / 2 for i in range(8)]
    assert rates[:10] == pytest.approx([0.0, 0.5, *falling], abs=1e-6)
    assert rates[10:] == pytest.approx([0.5 * (1 + np.cos(np.pi * i / 4)) / 2 for i in range(4)], abs=1e-6)


def test_gradients_are_clipped_and_weights_decay():
    parameters, gradient = {"w": np.ones(2, np.float32)}, {"w": np.array([3.0, 4.0], np.float32)}
    optimizer = make_optimizer(config(clip_norm=0.5, weight_decay=0.1))
    _, state = optimizer.update(gradient, optimizer.init(parameters), parameters)
    moments = optax.tree.get(state, "mu")["w"]
    np.testing.assert_allclose(moments, 0.1 * np.array([0.3, 0.4]), rtol=1e-6)
    without = make_optimizer(config(clip_norm=0.5))
    steps = [make.update(gradient, make.init(parameters), parameters)[0]["w"] for make in (optimizer, without)]
    np.testing.assert_allclose(steps[0] - steps[1], -STAGE.learning_rate * 0.1, rtol=1e-3)


def test_muon_makes_updates_of_kernels_orthogonal():
    run = config(muon=True)
    parameters = get_parameters(initial_model(run))
    generator = np.random.default_rng(0)
    gradients = jax.tree.map(lambda p: generator.normal(size=p.shape).astype(np.float32) * 1e-3, parameters)
    optimizer = make_optimizer(run)
    updates, _ = optimizer.update(gradients, optimizer.init(parameters), parameters)
    for name, update in updates.items():
        if name.endswith("bias") or name.startswith("head"):  # Adam's first step: a sign, times 1.47 by Nesterov
            np.testing.assert_allclose(update, -1.4737 * STAGE.learning_rate * np.sign(gradients[name]), rtol=1e-3)
            continue
        matrix = np.asarray(update).reshape(-1, update.shape[-1])
        singular = np.linalg.svd(matrix, compute_uv=False)
        assert singular.max() < 2 * singular.min()
        assert np.sqrt(np.mean(matrix**2)) == pytest.approx(0.2 * STAGE.learning_rate, rel=0.3)
        assert np.sum(matrix * gradients[name].reshape(matrix.shape)) < 0


def test_a_run_starts_from_its_seed_or_from_weights(tmp_path):
    one, same, other = (get_parameters(initial_model(config(seed=seed))) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.array_equal(one["head.kernel"], other["head.kernel"])
    save(initial_model(config(seed=1)), tmp_path / "weights")
    restored = get_parameters(initial_model(config(weights=str(tmp_path / "weights"))))
    jax.tree.map(np.testing.assert_array_equal, restored, other)


def test_a_state_shares_no_memory_with_itself():
    state = initial_state(get_parameters(initial_model(config())), optax.adam(1e-3))
    jax.tree.map(np.testing.assert_array_equal, state.parameters, state.average)
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.parameters, state.average))]
    assert len(set(places)) == len(places)


def test_parameters_make_a_network():
    parameters = get_parameters(initial_model(config()))
    jax.tree.map(np.testing.assert_array_equal, get_parameters(with_parameters(TINY, parameters)), parameters)
