"""The network against the official PyTorch code: outputs, loss and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from tests.helpers.golden_cases import NAMES, Golden, load_golden
from universeg_jax.weights import export_universeg

pytestmark = pytest.mark.slow

FULLY = ("cross_act", "v1_s5")
"""Cases that are compiled as users compile; the others are compiled quickly."""

SMALL = ("cross_act", "uneven")
"""Cases whose support is also spread over devices."""


def soft_dice_loss(logits, label):
    probability, axes = jax.nn.sigmoid(logits), (1, 2, 3)
    overlap = (probability * label).sum(axes)
    total = (probability**2).sum(axes) + (label**2).sum(axes)
    return (1 - (2 * overlap + 1e-7) / (total + 1e-7)).mean()


def loss_and_logits(call):
    """A function of the model and arrays: ((loss, logits), gradients). Arrays that it closed over would be folded."""

    def loss(model, target, target_label, *support):
        logits = call(model, target, *support)
        return soft_dice_loss(logits, target_label), logits

    return jax.value_and_grad(loss, has_aux=True)


def check(golden: Golden, loss, logits, gradients):
    np.testing.assert_allclose(logits, golden.logits, rtol=0, atol=1e-4 * golden.logits.std())
    assert float(loss) == pytest.approx(golden.loss, abs=1e-5)
    norms = {key: float(np.linalg.norm(value)) for key, value in export_universeg(gradients).items()}
    assert norms == pytest.approx(golden.gradient_norms, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_definition_gives_the_official_logits(name):
    golden = load_golden(name)
    logits = jax.jit(type(golden.model).definition)(
        golden.model, golden.target, golden.support_images, golden.support_labels
    )
    np.testing.assert_allclose(logits, golden.logits, rtol=0, atol=1e-4 * golden.logits.std())


@pytest.mark.parametrize("name", NAMES)
def test_logits_loss_and_every_gradient_are_the_official_ones(name, request):
    options = None
    if name in FULLY:
        request.getfixturevalue("compiled_as_by_users")
        options = {"xla_cpu_use_fusion_emitters": True}
    golden = load_golden(name)
    step = jax.jit(loss_and_logits(type(golden.model).__call__), compiler_options=options)
    arrays = golden.target, golden.target_label, golden.support_images, golden.support_labels
    (loss, logits), gradients = step(golden.model, *arrays)
    check(golden, loss, logits, gradients)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_with_the_support_spread_over_four_devices(name):
    golden = load_golden(name)
    batch, size = golden.support_images.shape[:2]
    absent = -size % 4  # the set is filled up so that every device gets its share
    fill = ((0, 0), (0, absent), (0, 0), (0, 0), (0, 0))
    images, labels = np.pad(golden.support_images, fill), np.pad(golden.support_labels, fill)
    mask = np.arange(size + absent)[None].repeat(batch, 0) < size

    mesh = jax.make_mesh((4,), ("support",), axis_types=(jax.sharding.AxisType.Auto,))
    same, spread = P(), P(None, "support")
    specs = dict(in_specs=(same, same, same, spread, spread, spread), out_specs=((same, same), same))

    @jax.jit
    @partial(jax.shard_map, mesh=mesh, **specs, check_vma=False)
    def step(model, *arrays):
        def call(model, target, *support):
            return model(target, *support, support_axis="support")

        result, gradients = loss_and_logits(call)(model, *arrays)
        return result, jax.tree.map(lambda g: jax.lax.pmean(g, "support"), gradients)

    arrays = golden.target, golden.target_label, images, labels, mask
    (loss, logits), gradients = step(golden.model, *(jnp.asarray(x) for x in arrays))
    check(golden, loss, logits, gradients)
