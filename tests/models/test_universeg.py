"""UniverSeg: the fast path compared with the definition, options, and refused input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.random_networks import SMALL, episode, model_with_biases
from universeg_jax import backend
from universeg_jax.models.in_context import InContextModel
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig


@pytest.fixture(scope="module")
def small():
    return model_with_biases(SMALL)


@st.composite
def cases(draw):
    pair = st.tuples(st.integers(1, 6), st.integers(1, 6))
    stages = draw(st.integers(2, 4))
    encoder = tuple(draw(st.lists(pair, min_size=stages, max_size=stages)))
    decoder = draw(st.none() | st.lists(pair, min_size=stages - 1, max_size=stages - 1).map(tuple))
    activation = draw(st.sampled_from([None, jax.nn.leaky_relu, jax.nn.relu]))
    height, width = (draw(st.integers(1, 4)) * 2 ** (stages - 1) for _ in range(2))
    targets = draw(st.integers(1, 3))
    entries = draw(st.integers(1, 4))
    arrays = episode(
        draw(st.integers(0, 99)),
        targets=targets,
        sets=draw(st.sampled_from([1, targets])),
        entries=entries,
        height=height,
        width=width,
    )
    mask = draw(st.none() | st.sampled_from([1, targets]).map(lambda b: weights_of(b, entries)))
    options = {"chunk": draw(st.integers(1, 5)), "targets_at_once": draw(st.integers(1, 3))}
    return UniverSegConfig(encoder, decoder, cross_activation=activation), arrays, mask, options


def weights_of(batch, entries):
    weights = np.random.default_rng(entries).random((batch, entries), np.float32)
    weights[:, 1::2] = 0
    return weights


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=6)
@given(cases())
def test_fast_path_is_the_definition(case):
    config, arrays, mask, options = case
    model = model_with_biases(config)
    expected = jax.jit(UniverSeg.definition)(model, *arrays, mask)
    np.testing.assert_allclose(
        model(*arrays, mask, **options), expected, rtol=0, atol=1e-5 * (1 + np.abs(expected).max())
    )


@pytest.mark.parametrize("filler", [0.5, np.nan])
def test_absent_entries_change_nothing(small, filler):
    target, images, labels = episode(0, targets=2, sets=2, entries=5, height=16, width=12)
    mask = np.array([[True, False, True, True, False], [False, True, True, True, False]])
    images[~mask], labels[~mask] = filler, filler
    logits = small(target, images, labels, mask)
    for i in range(2):
        alone = small(target[i : i + 1], images[i : i + 1, mask[i]], labels[i : i + 1, mask[i]])
        np.testing.assert_allclose(logits[i], alone[0], rtol=0, atol=1e-5)


def test_shared_support_is_the_same_as_repeated(small):
    target, images, labels = episode(1, targets=3, sets=1, entries=2, height=8, width=8)
    repeated = small(target, images.repeat(3, 0), labels.repeat(3, 0))
    np.testing.assert_allclose(small(target, images, labels), repeated, rtol=0, atol=1e-5)


def test_what_depends_on_a_shared_support_alone_is_done_once(small):
    """The 5×5 convolutions from the two channels of the support are not batched over targets."""
    target, images, labels = episode(1, targets=3, sets=1, entries=2, height=8, width=8)
    text = str(jax.make_jaxpr(lambda *args: small(*args, chunk=2))(target, images, labels))
    assert "f32[2,8,8,2]" in text  # two entries at once, once
    assert "f32[6,8,8,2]" not in text
    assert "f32[3,2,8,8,2]" not in text


def test_order_of_the_support_does_not_matter(small):
    target, images, labels = episode(2, targets=1, sets=1, entries=4, height=8, width=8)
    np.testing.assert_allclose(
        small(target, images, labels), small(target, images[:, ::-1], labels[:, ::-1]), rtol=0, atol=1e-5
    )


def test_calls_inside_and_outside_of_transformations_agree(small):
    arrays = episode(3, targets=2, sets=2, entries=2, height=8, width=8)
    expected = small(*arrays)
    np.testing.assert_allclose(jax.jit(lambda *args: small(*args))(*arrays), expected, atol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda zero: small(*arrays) + zero)(0.0), expected, atol=1e-5)
    one_by_one = jax.jit(jax.vmap(lambda *args: small(*(x[None] for x in args))[0]))(*arrays)
    np.testing.assert_allclose(one_by_one, expected, atol=1e-5)


def test_choices_for_a_tpu_change_neither_logits_nor_gradients(small, monkeypatch):
    arrays = episode(0, targets=2, sets=1, entries=3, height=8, width=12)
    monkeypatch.setattr(backend, "support_lanes", lambda features: 2)  # an empty place next to the third entry

    def squares(model, *given):
        return (model(*given) ** 2).sum()

    differentiate = jax.value_and_grad(squares)
    expected = jax.jit(differentiate)(small, *arrays)
    with backend.compile_for("tpu"):
        found = jax.jit(lambda *given: differentiate(*given))(small, *arrays)
    for ours, plain in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-5 * (1 + np.abs(plain).max()))


def test_labels_and_masks_of_any_dtype(small):
    target, images, labels = episode(4, targets=1, sets=1, entries=3, height=8, width=8)
    expected = small(target, images, labels)
    np.testing.assert_allclose(small(target, images, labels.astype(bool), np.ones((1, 3), bool)), expected, atol=1e-5)
    np.testing.assert_allclose(small(target, images, labels.astype(np.uint8), np.ones((1, 3))), expected, atol=1e-5)


def test_bfloat16_targets_give_bfloat16_logits_near_float32(small):
    target, images, labels = episode(5, targets=1, sets=1, entries=3, height=16, width=16)
    logits = small(jnp.asarray(target, jnp.bfloat16), images, labels)
    expected = small(target, images, labels)
    assert logits.dtype == jnp.bfloat16
    np.testing.assert_allclose(logits.astype(np.float32), expected, atol=0.05 * np.abs(expected).max())


def test_prepare_gives_one_map_for_each_class(small):
    target, images, labels = episode(6, targets=2, sets=2, entries=3, height=8, width=8)
    mask = np.array([[True, True, True], [True, False, True]])
    assert isinstance(small, InContextModel)
    logits = small.prepare(images[0], labels, mask)(target)
    assert logits.shape == (2, 2, 8, 8, 1)
    np.testing.assert_allclose(logits[1], small(target, images[:1], labels[1:], mask[1:]), atol=1e-5)


def test_released_network_has_its_number_of_parameters():
    leaves = jax.tree.leaves(nnx.state(nnx.eval_shape(lambda: UniverSeg(UniverSegConfig.v1(), rngs=nnx.Rngs(0)))))
    assert sum(leaf.size for leaf in leaves) == 1_182_785


def test_same_seed_same_weights():
    tiny = UniverSegConfig(((4, 4), (4, 4)))
    one, other = (jax.tree.leaves(UniverSeg(tiny, rngs=nnx.Rngs(7))) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": (1, 10, 8, 1)}, "support images are 8x8, the target 10x8"),
        ({"target": (1, 8, 8)}, r"target has shape \(1, 8, 8\)"),
        ({"labels": (1, 2, 8, 8, 1)}, r"support labels \(1, 2, 8, 8, 1\)"),
        ({"images": (2, 3, 8, 8, 1), "labels": (2, 3, 8, 8, 1)}, "1 targets but 2 support sets"),
        ({"images": (1, 0, 8, 8, 1), "labels": (1, 0, 8, 8, 1)}, "support set is empty"),
        ({"mask": (1, 4)}, r"support mask has shape \(1, 4\)"),
        (
            {"target": (1, 10, 8, 1), "images": (1, 3, 10, 8, 1), "labels": (1, 3, 10, 8, 1)},
            "images are 10x8; height and width must be divisible by 4",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_named(small, change, message):
    shapes = {"target": (1, 8, 8, 1), "images": (1, 3, 8, 8, 1), "labels": (1, 3, 8, 8, 1), "mask": (1, 3)} | change
    with pytest.raises(ValueError, match=message):
        small(*(np.ones(shape, np.float32) for shape in shapes.values()))


def test_integer_intensities_are_refused(small):
    with pytest.raises(ValueError, match="target is uint8"):
        small(np.zeros((1, 8, 8, 1), np.uint8), np.zeros((1, 1, 8, 8, 1)), np.zeros((1, 1, 8, 8, 1)))


def test_configurations_without_sense_are_refused():
    with pytest.raises(ValueError, match="encoder of 3 stages and a decoder of 1"):
        UniverSegConfig(((4, 4),) * 3, ((4, 4),))


def test_support_images_are_intensities(small):
    target, images, labels = episode(0, targets=1, sets=1, entries=2, height=8, width=8)
    with pytest.raises(ValueError, match=r"support images are uint8: pass intensities in \[0,1\]"):
        small(target, (255 * images).astype(np.uint8), labels)
