"""Training of a tiny encoder: gradients, one step, and a run that is saved and resumed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tests.helpers.lora_case import GOLDEN, adapters, lora_config
from tests.helpers.lora_case import batch as lora_batch
from tests.helpers.stacks import write_alpnet
from tests.helpers.tiny_encoder import NETWORK, STACKS, STAGE, config
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.train.encoder.config import AdamWConfig, SGDConfig
from universeg_jax.train.encoder.learner import EncoderData, EncoderLearner, allowed_slices, learning_rates
from universeg_jax.train.learner import initial_state
from universeg_jax.train.loop import train
from universeg_jax.train.monitor import read_metrics
from universeg_jax.train.step import Devices, TrainStep
from universeg_jax.weights import load
from universeg_jax.weights.lora import DOWN, UP, is_lora
from universeg_jax.weights.mapping import get_parameters
from universeg_jax.weights.store import save


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("pseudo_labels")


@pytest.fixture(scope="module")
def batch(store) -> Episode:
    source = EncoderData(config(), STACKS, store=store).source(STAGE)
    return Episode(*map(np.stack, zip(source[0], source[1], strict=True)))


def gradient(learner, parameters, batch):
    frozen = learner.frozen_parameters()
    return jax.jit(jax.grad(lambda p: learner.loss({**frozen, **p}, batch, axes=())[0]))(parameters)


@pytest.fixture(scope="module")
def full_gradient(batch):
    learner = EncoderLearner(config(), NETWORK)
    return gradient(learner, learner.initial_parameters(), batch)


def test_the_gradient_is_finite_and_reaches_every_layer(full_gradient):
    assert set(full_gradient) == set(get_parameters(NETWORK)) - {"mask_token"}
    assert all(np.isfinite(value).all() for value in full_gradient.values())
    for name in ("patches.kernel", "blocks.0.qkv.kernel", "blocks.0.narrow.kernel", "norm.scale"):
        assert np.abs(full_gradient[name]).max() > 1e-6


def test_one_lora_step_is_that_of_the_chain_rule(batch, full_gradient):
    """With up zero, the merged kernels are the frozen ones: up gets down^T dW, down gets nothing but its decay."""
    run = config(lora_rank=2, optimizer=SGDConfig(momentum=0.9, weight_decay=0.1))
    learner = EncoderLearner(run, NETWORK)
    before = learner.initial_parameters()
    optimizer = learner.optimizer()
    state = initial_state(before, optimizer, frozen=learner.frozen_parameters())
    after, _ = jax.jit(TrainStep(learner.loss, optimizer, 0.0))(state, batch)
    rate = STAGE.learning_rate
    for name in ("blocks.0.qkv.kernel", "blocks.0.widen.kernel"):
        down, up = before[name + DOWN], after.parameters[name + UP]
        np.testing.assert_allclose(up, -rate * down.T @ full_gradient[name], rtol=1e-3, atol=1e-8)
        np.testing.assert_allclose(after.parameters[name + DOWN], down - rate * 0.1 * down, rtol=1e-5)


def test_one_lora_step_is_that_of_pytorch():
    learner = EncoderLearner(lora_config(), NETWORK)
    before, frozen = adapters(), learner.frozen_parameters()
    assert set(before) == set(learner.initial_parameters())
    state = initial_state(before, learner.optimizer(), frozen=frozen)
    found = gradient(learner, before, lora_batch())
    after, measures = jax.jit(TrainStep(learner.loss, learner.optimizer(), 0.0))(state, lora_batch())
    with np.load(GOLDEN) as golden:
        np.testing.assert_allclose(measures.loss, golden["loss"], rtol=1e-4)
        for name, value in found.items():
            expected = golden[f"gradient/{name}"]
            assert np.linalg.norm(expected) > 1e-5
            assert np.linalg.norm(value - expected) < 1e-4 * np.linalg.norm(expected)
            np.testing.assert_allclose(after.parameters[name], golden[f"after/{name}"], rtol=1e-4, atol=1e-6)


@pytest.mark.compare
def test_the_golden_step_is_that_of_the_reference():
    from tests.helpers.make_lora_golden import golden

    with np.load(GOLDEN) as stored:
        for name, value in golden().items():
            np.testing.assert_allclose(value, stored[name], rtol=1e-9, atol=1e-12)


def test_sgd_is_that_of_pytorch():
    """By hand: g + wd p into the momentum, then the rate, which falls after `every` steps."""
    run = config(optimizer=SGDConfig(momentum=0.5, weight_decay=0.1, factor=0.5, every=2))
    optimizer = EncoderLearner(run, NETWORK).optimizer()
    p, velocity = np.array([1.0, -2.0]), np.zeros(2)
    parameters = {"w": jnp.asarray(p)}
    state = optimizer.init(parameters)
    for step in range(4):
        g = np.array([0.3, 0.1]) * (step + 1)
        updates, state = optimizer.update({"w": jnp.asarray(g)}, state, parameters)
        parameters = {"w": parameters["w"] + updates["w"]}
        velocity = 0.5 * velocity + g + 0.1 * p
        p = p - STAGE.learning_rate * 0.5 ** (step // 2) * velocity
        np.testing.assert_allclose(parameters["w"], p, rtol=1e-6)


def test_rates_follow_the_stages():
    stages = (dataclasses.replace(STAGE, warmup_steps=1), dataclasses.replace(STAGE, learning_rate=1.0))
    rates = learning_rates(config(stages=stages, optimizer=SGDConfig(factor=0.5, every=6)))
    found = [float(rates(step)) for step in range(8)]
    assert found == pytest.approx([0.005, 0.01, 0.01, 0.01, 1.0, 1.0, 0.5, 0.5])


def test_checkpointed_activations_have_the_same_gradient(batch, full_gradient):
    learner = EncoderLearner(config(checkpoint_activations=True), NETWORK)
    found = gradient(learner, learner.initial_parameters(), batch)
    for name, value in found.items():
        np.testing.assert_allclose(value, full_gradient[name], rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    write_alpnet(folder / "scans", STACKS)
    save(NETWORK, folder / "weights")
    return folder


@pytest.mark.parametrize("rank", [None, 2])
def test_a_run_trains_resumes_and_saves_what_loads(scans, rank, monkeypatch, tmp_path):
    monkeypatch.setattr("universeg_jax.train.encoder.learner.cache_folder", lambda: scans / "cache")
    run = config(weights=str(scans / "weights"), lora_rank=rank, modality="MR", optimizer=AdamWConfig())
    out = tmp_path / "run"
    best = train(run, scans / "scans", out, devices=Devices(1), quiet=True)
    losses = [line["loss"] for line in read_metrics(out / "metrics.jsonl") if "loss" in line]
    assert len(losses) == 4
    assert np.isfinite(losses).all()
    assert is_lora(best) == (rank is not None)
    tuned = get_parameters(load(best))
    assert any(not np.allclose(tuned[name], value) for name, value in get_parameters(NETWORK).items())
    more = dataclasses.replace(run, stages=(STAGE, STAGE))
    train(more, scans / "scans", out, devices=Devices(1), quiet=True)
    steps = [line["step"] for line in read_metrics(out / "metrics.jsonl") if "loss" in line]
    assert steps == list(range(1, 9))


def test_setting_2_leaves_out_slices_with_test_organs():
    assert allowed_slices(STACKS[0], ("rod",)) == [0, 1]
    assert allowed_slices(STACKS[0], ()) == list(range(9))


def test_unknown_names_are_refused(store):
    with pytest.raises(InputError, match="there are no scans scan9; there are scan0, scan1, scan2"):
        EncoderData(config(leave_out=("scan9",)), STACKS, store=store)
    with pytest.raises(InputError, match="organs heart: shown by no scan"):
        EncoderData(config(exclude=("heart",)), STACKS, store=store)
    with pytest.raises(InputError, match="leaves no scan to train on"):
        EncoderData(config(leave_out=("scan0", "scan1", "scan2")), STACKS, store=store)


def test_a_universeg_is_refused():
    model = UniverSeg(UniverSegConfig(((2, 2), (2, 2)), input_size=16), rngs=nnx.Rngs(0))
    with pytest.raises(InputError, match="belong to a UniverSeg; pass a SAM or a DINOv2"):
        EncoderLearner(config(), model)


@pytest.mark.parametrize(
    "options",
    [
        {"lora_rank": 0},
        {"optimizer": "sgd"},
        {"alignment": -1},
        {"exclude": "liver"},
        {"axis": "up"},
        {"weights": None},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(InputError, match=f"EncoderTrainConfig.{next(iter(options))}="):
        config(**options)
