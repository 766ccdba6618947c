"""The step on one device and on many. Gradients are compared, because Adam hides a wrong scale of gradients."""

from dataclasses import dataclass, field, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.helpers.array_data import LIGHT, STAGE, TINY, Disks, config
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError
from universeg_jax.train.learner import UniverSegLearner, initial_model, initial_state, make_optimizer, with_parameters
from universeg_jax.train.losses import cross_entropy_loss, soft_dice_loss
from universeg_jax.train.step import Augmentation, Devices, TrainStep
from universeg_jax.weights.mapping import get_parameters

LAYOUTS = {"pmap over 4": Devices(4), "mesh of 2 x 2": Devices(2, 2)}
KEEP = optax.chain(optax.trace(decay=0.0), optax.scale(0.0))
"""An optimiser whose state is the last gradient, and which changes nothing."""


def ragged_batch() -> Episode:
    """Support sets of 1, 4, 2 and 3 entries: some devices have none of an episode."""
    source = Disks((4, 4))
    batch = Episode(*(np.stack(leaves) for leaves in zip(*(source[i] for i in range(4)), strict=True)))
    mask = np.arange(4) < np.array([[1], [4], [2], [3]])
    return batch._replace(support_mask=mask)


@dataclass(frozen=True, eq=False)
class CountedStep(TrainStep):
    """A step that notes each time it is traced."""

    traces: list = field(default_factory=list)

    def __call__(self, state, episodes):
        self.traces.append(self.axes)
        return super().__call__(state, episodes)


def augmentation(run) -> Augmentation:
    return Augmentation(run.policy, run.seed)


def taken(run, devices, batch, *, optimizer=KEEP, steps=1):
    """State and measures after steps with one batch."""
    learner = UniverSegLearner(run)
    step = CountedStep(learner.loss, optimizer, run.ema)
    take = devices.compile(step, augmentation(run))
    state = devices.replicate(initial_state(learner.initial_parameters(), optimizer))
    state, measures = take(state, devices.put(batch)[1])
    of_first = len(step.traces)
    assert of_first > 0
    for _ in range(steps - 1):
        state, measures = take(state, devices.put(batch)[1])
    assert len(step.traces) == of_first  # a state that comes from a step compiles nothing new
    return jax.tree.map(devices.fetch, (state, measures))


def distance(gradient, expected) -> float:
    """Relative to the norm."""
    assert optax.tree.norm(expected) > 0.05
    return float(optax.tree.norm(optax.tree.sub(gradient, expected)) / optax.tree.norm(expected))


@pytest.fixture(scope="module")
def run():
    return config(policy=LIGHT)


@pytest.fixture(scope="module")
def on_one(run):
    return taken(run, Devices(1), ragged_batch(), steps=2)


def test_one_device_has_the_gradient_of_the_definition(run, on_one):
    batch = jax.jit(augmentation(run))(ragged_batch())
    arrays = batch.target, batch.support_images, batch.support_labels, batch.support_mask

    def loss(parameters):
        logits = with_parameters(TINY, parameters).definition(*map(jnp.asarray, arrays))
        of = soft_dice_loss, cross_entropy_loss
        dice, entropy = (each(logits, jnp.asarray(batch.target_label)).mean() for each in of)
        return dice + 0.5 * entropy

    parameters = initial_state(get_parameters(initial_model(run)), KEEP).parameters
    value, expected = jax.jit(jax.value_and_grad(loss))(parameters)
    state, measures = on_one
    assert distance(state.optimizer[0].trace, expected) < 1e-5
    assert measures.loss == pytest.approx(float(value), rel=1e-6)
    assert measures.gradient_norm == pytest.approx(float(optax.tree.norm(expected)), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_devices_have_the_gradient_of_one(run, on_one, layout):
    state, measures = taken(run, LAYOUTS[layout], ragged_batch(), steps=2)  # the second on what the first gave
    assert distance(state.optimizer[0].trace, on_one[0].optimizer[0].trace) < 1e-5
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), measures, on_one[1])


def test_augmentation_depends_on_seed_and_number_alone(run):
    batch = ragged_batch()
    augment = jax.jit(augmentation(run))
    forwards, backwards = augment(batch), augment(jax.tree.map(lambda x: x[::-1], batch))
    np.testing.assert_allclose(backwards.target[::-1], forwards.target, atol=1e-6)
    other = jax.jit(augmentation(config(policy=LIGHT, seed=1)))(batch)
    assert abs(other.target - forwards.target).max() > 0.1
    assert augmentation(config())(batch) is batch


@pytest.mark.slow
def test_checkpointed_activations_have_the_same_gradient(run, on_one):
    state, _ = taken(config(policy=LIGHT, checkpoint_activations=True), Devices(1), ragged_batch())
    assert distance(state.optimizer[0].trace, on_one[0].optimizer[0].trace) < 1e-5


@pytest.mark.slow
def test_half_precision_learns_like_single():
    found = {}
    for dtype in ("float32", "bfloat16"):
        run = config(dtype=dtype)
        state, measures = taken(run, Devices(1), ragged_batch(), optimizer=make_optimizer(run), steps=12)
        assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {np.dtype("float32"), np.dtype("int32")}
        found[dtype] = float(measures.loss)
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.02)
    assert found["bfloat16"] != found["float32"]
    first = taken(config(), Devices(1), ragged_batch(), optimizer=make_optimizer(config()))[1].loss
    assert max(found.values()) < first - 0.02


def test_the_average_follows_the_parameters():
    run = config()
    before = initial_state(get_parameters(initial_model(run)), make_optimizer(run))
    state, _ = taken(run, Devices(1), ragged_batch(), optimizer=make_optimizer(run))
    for name, old in before.parameters.items():  # a young average: a tenth of it is the beginning
        np.testing.assert_allclose(state.average[name], 0.1 * old + 0.9 * state.parameters[name], atol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing():
    run, batch = config(), ragged_batch()
    batch.target[1, 3, 3] = np.nan
    before = initial_state(get_parameters(initial_model(run)), make_optimizer(run))
    state, measures = taken(run, Devices(1), batch, optimizer=make_optimizer(run))
    assert np.isnan(measures.loss)
    jax.tree.map(np.testing.assert_array_equal, state, jax.tree.map(np.asarray, before))


@pytest.mark.parametrize(("data", "support"), [(5, 1), (2, 3), (0, 1), (1, 0)])
def test_devices_that_are_not_there_are_refused(data, support):
    with pytest.raises(InputError, match=f"devices {data} x {support}: there are 4"):
        Devices(data, support)


def test_all_are_shared_out_to_support_sets():
    assert [Devices.all(support=number) for number in (1, 2, 4)] == [Devices(4), Devices(2, 2), Devices(1, 4)]
    with pytest.raises(InputError, match="support=3: pass a number that divides the 4 devices"):
        Devices.all(support=3)


def test_batches_are_shared_evenly():
    Devices(2, 2).check(replace(STAGE, batch_size=4, support_size=6))
    with pytest.raises(InputError, match="batch_size=3: 2 devices cannot share it evenly; pass a multiple of 2"):
        Devices(2, 2).check(replace(STAGE, batch_size=3, support_size=6))
    with pytest.raises(InputError, match="support_size=5: 4 devices cannot share it evenly; pass a multiple of 4"):
        Devices(1, 4).check(replace(STAGE, batch_size=3, support_size=5))
    with pytest.raises(InputError, match="support_deck=1: 2 devices cannot share it evenly; pass a multiple of 2"):
        Devices(2, 2).check(replace(STAGE, support_size=6, support_deck=(6, 1)))
