import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from universeg_jax.errors import InputError
from universeg_jax.segment.support import Support


def support(shown) -> Support:
    shown = np.asarray(shown, bool)
    problems, entries = shown.shape
    labels = np.ones((problems, entries, 2, 2, 1), np.float32) * shown[:, :, None, None, None]
    return Support(np.ones((entries, 2, 2, 1), np.float32), labels, shown)


def test_entries_count_for_the_classes_they_show():
    shown = [[1, 1, 1], [0, 1, 0]]
    np.testing.assert_array_equal(support(shown).mask, np.asarray(shown, bool))


def test_a_binary_task_keeps_its_empty_masks():
    assert support([[1, 0, 1]]).mask.all()


@pytest.mark.parametrize(("entries", "size"), [(1, 1), (5, 6), (64, 64), (65, 96), (129, 192), (200, 256)])
def test_padding_goes_to_the_next_size_and_does_not_count(entries, size):
    images, labels, mask = support(np.ones((2, entries))).padded()
    assert len(images) == labels.shape[1] == mask.shape[1] == size
    assert mask[:, :entries].all()
    assert not mask[:, entries:].any()
    assert not images[entries:].any()
    assert not labels[:, entries:].any()


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.data())
def test_draws_show_every_class(data):
    entries = data.draw(st.integers(1, 12))
    classes = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shown = rng.random((classes, entries)) < 0.3
    shown[:, rng.integers(entries)] |= ~shown.any(axis=1)  # each is shown at least once
    size = data.draw(st.integers(min(classes, entries), entries))
    draw = support(shown).draw(rng, size)
    assert len(set(draw)) == size
    assert set(draw) <= set(range(entries))
    assert support(shown).take(draw).mask.any(axis=1).all()


def test_draws_vary_and_are_uniform_where_every_entry_shows_everything():
    rng = np.random.default_rng(0)
    counts = np.bincount(np.concatenate([support(np.ones((1, 8))).draw(rng, 2) for _ in range(2000)]))
    assert counts.min() > 400
    assert counts.max() < 600


def test_a_draw_too_small_for_the_classes_is_refused():
    with pytest.raises(InputError, match=r"support_size=1: found no 1 entries that show all 3 classes"):
        support(np.eye(3)).draw(np.random.default_rng(0), 1)


def test_one_entry_that_shows_all_classes_is_found_by_every_seed():
    shown = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    for seed in range(20):
        assert support(shown).draw(np.random.default_rng(seed), 1).tolist() == [2]
