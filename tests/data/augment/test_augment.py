"""Augmented episodes: what one draw is shared by, how probable it is, and that labels follow images."""

from dataclasses import fields, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.data.augment import Policy, Variation, augment_episode, augment_episodes
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.errors import InputError

SIZE, SUPPORT = 24, 3
VARIATIONS = ("affine", "brightness_contrast", "elastic", "blur", "noise", "sharpness")
WHOLE_EPISODE = ("flip_intensities", "flip_labels", "flip_horizontally", "flip_vertically", "edges")
GEOMETRY = {"affine": 1.0, "elastic": 1.0}

augment = jax.jit(augment_episode)  # compiled once: policies are arguments


def one_episode(seed: int = 0) -> tuple[jax.Array, ...]:
    """An episode of smooth images, and labels that are brighter there."""
    noise = jax.random.uniform(jax.random.key(seed), (1 + SUPPORT, 6, 6, 1))
    images = jax.image.resize(noise, (1 + SUPPORT, SIZE, SIZE, 1), "linear")
    labels = (images > 0.5).astype(float)
    return images[0], labels[0], images[1:], labels[1:]


def equal_entries() -> tuple[jax.Array, ...]:
    """An episode whose support is the target, again and again."""
    target, label, _, _ = one_episode()
    return target, label, jnp.stack([target] * SUPPORT), jnp.stack([label] * SUPPORT)


def same(a, b) -> bool:
    return all(bool((x == y).all()) for x, y in zip(a, b, strict=True))


def test_no_policy_changes_nothing():
    episode = one_episode()
    for before, after in zip(episode, augment(jax.random.key(0), *episode, policy=Policy.none()), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.parametrize("name", WHOLE_EPISODE)
def test_an_operation_on_the_whole_episode(name):
    target, label, images, labels = augment(jax.random.key(0), *equal_entries(), policy=Policy(**{name: 1.0}))
    x, y, _, _ = equal_entries()
    image, mask = {
        "flip_intensities": (1 - x, y),
        "flip_labels": (x, 1 - y),
        "flip_horizontally": (x[:, ::-1], y[:, ::-1]),
        "flip_vertically": (x[::-1], y[::-1]),
        "edges": (x, label),
    }[name]
    np.testing.assert_allclose(target, image, atol=1e-6)
    np.testing.assert_allclose(label, mask, atol=1e-6)
    assert same(images, [target] * SUPPORT)
    assert same(labels, [label] * SUPPORT)
    assert not (same([target], [x]) and same([label], [y]))


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_variation_of_the_task_is_one_draw_and_one_in_the_task_many(name):
    variation = Variation(**{name: 1.0})
    target, _, images, _ = augment(jax.random.key(1), *equal_entries(), policy=Policy(task=variation))
    if name != "noise":  # its strength is one draw, its pixels are many
        assert same(images, [target] * SUPPORT)
    target, label, images, labels = augment(jax.random.key(1), *equal_entries(), policy=Policy(in_task=variation))
    different = [not bool((image == target).all()) for image in images]
    assert all(different)
    moved = [not bool((mask == label).all()) for mask in labels]
    assert all(moved) == (name in GEOMETRY)
    assert any(moved) == (name in GEOMETRY)


def test_a_target_varies_in_its_own_way():
    variation = Variation(**dict.fromkeys(VARIATIONS, 1.0))
    policy = replace(Policy.universeg(), in_task=variation)
    run = partial(augment, jax.random.key(2), *one_episode())
    before = run(policy=policy)
    assert same(
        run(policy=replace(policy, target=variation)), before
    )  # `target` uses the same random numbers as `in_task`
    target, label, *support = run(policy=replace(policy, target=replace(variation, contrast=(0.1, 0.2))))
    assert same([label, *support], before[1:])
    assert jnp.abs(target - before[0]).max() > 0.1
    _, label, *support = run(policy=replace(policy, target=replace(variation, rotation=(90.0, 90.0))))
    assert same(support, before[2:])
    assert jnp.abs(label - before[1]).max() > 0.1


def test_a_target_is_inverted_against_its_support():
    x, y, *_ = equal_entries()
    keys, policy = jax.random.split(jax.random.key(0), 150), Policy(flip_target=1.0)
    episodes = jax.device_get([augment(key, *equal_entries(), policy=policy) for key in keys])
    inverted = []
    for target, label, images, labels in episodes:
        np.testing.assert_allclose(target, 1 - x, atol=1e-6)
        np.testing.assert_allclose([label, *labels], [y] * (1 + SUPPORT), atol=1e-6)
        changed = np.array([not np.allclose(image, x, atol=1e-6) for image in images])
        np.testing.assert_allclose(images, np.where(changed[:, None, None, None], 1 - x, x), atol=1e-6)
        inverted.append(changed)
    counts = np.bincount(np.sum(inverted, axis=1), minlength=1 + SUPPORT) / len(keys)
    # In half of the episodes a share of the support, drawn from 0 to 1, is inverted: any count of it is equally likely.
    np.testing.assert_allclose(counts, 0.5 * np.eye(1, 1 + SUPPORT)[0] + 0.5 / (1 + SUPPORT), atol=0.08)


def test_targets_are_inverted_as_often_as_asked():
    arrays, x = equal_entries(), equal_entries()[0]
    policies = [Policy(flip_target=0.25), Policy(flip_target=0.25, flip_intensities=1.0)]
    keys = jax.random.split(jax.random.key(1), 200)
    alone, against = (
        np.array([not np.allclose(augment(key, *arrays, policy=policy)[0], x, atol=1e-5) for key in keys])
        for policy in policies
    )
    assert abs(alone.mean() - 0.25) < 0.06
    assert (against == ~alone).all()  # an inverted target of an inverted episode is as it was


def test_a_target_like_its_support_is_the_default():
    explicit = replace(Policy.universeg(), target=None, flip_target=0.0)
    for seed in range(4):
        run = partial(augment, jax.random.key(seed), *one_episode(seed))
        assert same(run(policy=explicit), run(policy=Policy.universeg()))


@given(seed=st.integers(0, 2**31 - 1), vertical=st.booleans(), horizontal=st.booleans())
@settings(max_examples=8, deadline=None, derandomize=True)
def test_labels_follow_geometry_exactly(seed, vertical, horizontal):
    policy = Policy(
        task=Variation(**GEOMETRY),
        in_task=Variation(**GEOMETRY),
        flip_vertically=float(vertical),
        flip_horizontally=float(horizontal),
    )
    target, _, images, _ = one_episode(seed % 100)
    after = augment(jax.random.key(seed), target, target, images, images, policy=policy)
    np.testing.assert_allclose(after[0], after[1], atol=1e-5)
    np.testing.assert_allclose(after[2], after[3], atol=1e-5)
    assert jnp.abs(after[2] - images).max() > 0.1


@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_everything_stays_in_range_and_repeats(seed):
    run = partial(augment, jax.random.key(seed), *one_episode(seed % 100), policy=Policy.universeg())
    first = run()
    assert same(first, run())
    for array in first:
        assert jnp.isfinite(array).all()
        assert array.min() >= 0
        assert array.max() <= 1


def test_operations_are_as_frequent_as_asked():
    policy = Policy(flip_intensities=0.5, flip_labels=0.25, in_task=Variation(brightness_contrast=0.25))
    image = np.full((SIZE, SIZE, 1), 0.25, np.float32)
    images = np.stack([image] * SUPPORT)
    keys = jax.random.split(jax.random.key(0), 1000)
    episodes = [[x[..., 4, 4, 0] for x in augment(key, image, image, images, images, policy=policy)] for key in keys]
    target, label, images, labels = (np.stack(each) for each in zip(*episodes, strict=True))
    flipped, inverse = target > 0.5, label > 0.5
    assert abs(flipped.mean() - 0.5) < 0.05
    assert abs(inverse.mean() - 0.25) < 0.05
    assert abs((flipped & inverse).mean() - 0.125) < 0.04  # independent of each other
    assert (flipped[:, None] == (images > 0.5)).all()
    assert (inverse[:, None] == (labels > 0.5)).all()
    entries = np.concatenate([target[:, None], images], axis=1)
    varied = np.abs(np.minimum(entries, 1 - entries) - 0.25) > 1e-5
    assert abs(varied.mean() - 0.25) < 0.03
    together = varied[:, 0] & varied[:, 1]
    assert abs(together.mean() - 0.0625) < 0.03  # every entry has a draw of its own


def test_a_batch_is_its_episodes_drawn_for_by_their_numbers():
    numbers = np.array([7, 2, 30], np.int32)
    arrays = [np.stack(each) for each in zip(*(one_episode(n) for n in range(3)), strict=True)]
    present = np.array([[True] * SUPPORT, [True, True, False], [True] * SUPPORT])
    batch = Episode(*arrays, present, np.arange(3), numbers)
    key, policy = jax.random.key(5), Policy.universeg()
    run = jax.jit(augment_episodes)
    after = run(key, batch, policy=policy)
    for i, number in enumerate(numbers):
        alone = augment(jax.random.fold_in(key, number), *(a[i] for a in arrays), policy=policy)
        absent = ~present[i]
        alone = *alone[:2], *(support.at[absent].set(0) for support in alone[2:])
        for together, one in zip(after[:4], alone, strict=True):
            np.testing.assert_allclose(together[i], one, atol=2e-3)
    np.testing.assert_array_equal(after.number, numbers)
    turned = run(key, jax.tree.map(lambda x: x[::-1], batch), policy=policy)
    for a, b in zip(after, turned, strict=True):
        np.testing.assert_allclose(a, b[::-1], atol=1e-5)


def test_presets_are_the_papers_table():
    task, in_task = Policy.universeg().task, Policy.universeg().in_task
    assert {name: (getattr(task, name), getattr(in_task, name)) for name in VARIATIONS} == {
        "affine": (0.5, 0.5),
        "brightness_contrast": (0.5, 0.25),
        "elastic": (0.25, 0.8),
        "blur": (0.5, 0.25),
        "noise": (0.5, 0.25),
        "sharpness": (0.5, 0.25),
    }
    assert {name: getattr(Policy.universeg(), name) for name in WHOLE_EPISODE} == dict.fromkeys(WHOLE_EPISODE, 0.5)
    assert (task.contrast, in_task.contrast) == ((0.8, 1.2), (0.5, 1.5))
    assert (task.elastic_alpha, in_task.elastic_alpha) == ((1, 2), (1, 2.5))
    assert (task.elastic_sigma, in_task.elastic_sigma) == ((6, 8), (7, 8))
    for column in (task, in_task):
        assert (column.rotation, column.translation, column.scale) == ((0, 360), (-0.2, 0.2), (0.8, 1.1))
        assert (column.brightness, column.blur_sigma) == ((-0.1, 0.1), (0.1, 1.1))
        assert (column.noise_mean, column.noise_std, column.sharpness_factor) == ((0, 0.05), (0, 0.05), (0, 5))


def test_presets_of_one_kind():
    both = Policy.universeg()
    assert Policy.task_only() == replace(both, in_task=Variation())
    assert Policy.in_task_only() == Policy(in_task=both.in_task)
    assert all(getattr(Policy.none(), field.name) in (0.0, Variation(), None) for field in fields(Policy))


@pytest.mark.parametrize(
    "options", [{"blur": 1.5}, {"noise": -0.1}, {"contrast": (1.2, 0.8)}, {"elastic_sigma": (7.0, 8.0, 9.0)}]
)
def test_options_out_of_range(options):
    (name, value), *_ = options.items()
    with pytest.raises(InputError, match=name) as raised:
        Variation(**options)
    assert str(value) in str(raised.value)
