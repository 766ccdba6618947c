import numpy as np
import pytest

from universeg_jax.segment.diagnose import diagnose_results, diagnose_support, diagnose_targets
from universeg_jax.segment.preprocess import View


def view(image: np.ndarray, name: str = "image") -> View:
    return View.of(image, name, size=32, channels=1, window=None)


def cells(seed: int, side: int = 96) -> np.ndarray:
    """Bright discs on a dark, noisy ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    discs = sum((y - a) ** 2 + (x - b) ** 2 < 0.01 for a, b in rng.random((rng.integers(3, 8), 2)))
    return 40 + 120 * (discs > 0) + rng.normal(0, 10, (side, side))


def scan(seed: int, side: int = 96) -> np.ndarray:
    """An ellipse of graded tissue in an empty field."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side - 0.5
    radius = np.hypot(y / rng.uniform(0.3, 0.4), x / rng.uniform(0.3, 0.45))
    return np.where(radius < 1, 300 + 500 * radius + rng.normal(0, 40, (side, side)), rng.normal(0, 5, (side, side)))


def stain(seed: int, side: int = 96) -> np.ndarray:
    """Dark blobs on a bright, unevenly lit slide."""
    return 1000 - 2 * cells(seed, side) + np.linspace(0, 80, side)


@pytest.mark.parametrize("family", [cells, scan, stain])
def test_ordinary_data_gives_no_message(family):
    support = [view(family(i)) for i in range(4)]
    assert diagnose_targets([view(family(i)) for i in range(10, 60)], support) == []


@pytest.mark.parametrize("family", [cells, scan, stain])
def test_inverted_intensities_are_named(family):
    support = [view(family(i)) for i in range(4)]
    messages = diagnose_targets([view(family(8), "fine.png"), view(-family(9), "negative.png")], support)
    assert len(messages) == 1
    assert messages[0].startswith("negative.png: intensities look inverted")


def test_another_distribution_is_named():
    noise = np.random.default_rng(0).random((96, 96))
    (message,) = diagnose_targets([view(noise, "noise")], [view(scan(i) ** 3) for i in range(4)])
    assert message.startswith("noise: intensities differ strongly")


def test_another_size_or_aspect_is_named():
    support = [view(cells(i)) for i in range(2)]
    large, wide, fine = (np.kron(cells(3), np.ones(factor)) for factor in [(5, 5), (1, 5), (3, 2)])
    (message,) = diagnose_targets([view(large, "large"), view(wide, "wide"), view(fine, "fine")], support)
    assert message.startswith("large (480x480), wide (96x480): size or aspect differs by more than 4x")


def test_constant_images_are_named_and_nothing_else_is_said_of_them():
    blank = np.full((96, 96), 7)
    (message,) = diagnose_targets([view(blank, "blank")], [view(cells(0))])
    assert message.startswith("blank: the image is constant")
    (message,) = diagnose_support([view(blank, "blank")], [np.eye(96)])
    assert message.startswith("blank: the image is constant")


def test_empty_and_full_masks_are_named():
    views = [view(cells(i), f"cells {i}") for i in range(3)]
    (message,) = diagnose_support(views, [np.zeros((96, 96)), np.eye(96), np.ones((96, 96), bool)])
    assert message.startswith("cells 0, cells 2: the mask is empty or full")


def test_many_names_are_cut():
    views = [view(np.zeros((4, 4)), str(i)) for i in range(20)]
    (message,) = diagnose_targets(views, [view(cells(0, side=4))])
    assert message.startswith("0, 1, 2, 3, 4, 5, 6, 7 and 12 more: ")


def test_results_without_foreground_are_named():
    views = [view(np.zeros((8, 8)), "constant"), view(np.eye(8), "b")]
    assert diagnose_results(views, [True, True]) == ["b: nothing was found: the mask is all background"]
    assert diagnose_results(views, [True, False]) == []


@pytest.mark.parametrize("outlier", [32000, -30000])
def test_an_outlier_is_named_where_nothing_was_found(outlier):
    slice_of_ct = np.random.default_rng(0).normal(0, 300, (64, 64)).clip(-1000, 1000).round()
    slice_of_ct[30, 40] = outlier
    [message] = diagnose_results([view(slice_of_ct, "a")], [True])
    assert "a: nothing was found; its intensities lie from -" in message
    assert f"except for a few up to {outlier}" in message
    assert "--window -" in message
