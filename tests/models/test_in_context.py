import numpy as np

from universeg_jax.models.in_context import nearest_entries, similarity


def test_similarity_is_a_correlation():
    images = np.random.default_rng(0).random((3, 40, 30, 1)).repeat(2, axis=1)
    found = similarity(images, np.concatenate([0.5 * images + 0.2, 1 - images, np.ones_like(images[:1])]))
    np.testing.assert_allclose(np.diag(found[:, :3]), 1, rtol=1e-6)
    np.testing.assert_allclose(np.diag(found[:, 3:6]), -1, rtol=1e-6)
    assert (found[:, 6] == 0).all()


SIMILARITIES = np.array([[0.9, 0.1, 0.5, 0.3], [0.0, 0.2, 0.1, 0.8]])


def test_the_most_similar_entries_are_chosen():
    one_class = np.ones((1, 4), bool)
    assert nearest_entries(SIMILARITIES, one_class, 2).astype(int).tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    assert nearest_entries(SIMILARITIES, one_class, 4).all()


def test_every_class_is_shown_if_any_entry_shows_it():
    shown = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)
    assert nearest_entries(SIMILARITIES, shown, 1).astype(int).tolist() == [[1, 0, 0, 1], [0, 0, 0, 1]]


def test_excluded_entries_are_never_chosen():
    shown = np.array([[1, 1, 1, 1], [0, 0, 0, 1]], bool)
    excluded = SIMILARITIES.copy()
    excluded[:, 3] = -np.inf
    assert nearest_entries(excluded, shown, 4).astype(int).tolist() == [[1, 1, 1, 0]] * 2
