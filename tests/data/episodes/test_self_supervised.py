import dataclasses

import jax
import numpy as np
import pytest

from tests.helpers.stacks import stack
from universeg_jax.data.episodes.self_supervised import CopyAugmentation, SelfSupervisedEpisodes, augmented_copies
from universeg_jax.errors import InputError

STACKS = [stack(f"scan{i}", seed=i, size=32) for i in range(2)]
LABELS = [one.labels for one in STACKS]
STILL = CopyAugmentation(rotation=0, shear=0, shift=0, scale=(1, 1), elastic_alpha=0, gamma=(1, 1))


def episodes(**options):
    return SelfSupervisedEpisodes(STACKS, LABELS, **dict(seed=0, size=32, smallest=5) | options)


def test_without_changes_both_copies_are_the_slice_and_one_superpixel():
    source = episodes(augmentation=STILL)
    for number in range(6):
        episode = source[number]
        np.testing.assert_allclose(episode.target, episode.support_images[0], atol=1e-5)
        image = episode.target[..., 0]
        slices = [(i, z) for i in (0, 1) for z in range(9) if np.abs(STACKS[i].images[z] - image).max() < 1e-4]
        assert len(slices) == 1
        scan, z = slices[0]
        masks = [STACKS[scan].labels[z] == value for value in (1, 2)]
        assert any((episode.target_label[..., 0] == mask).all() for mask in masks)


def test_copies_differ_and_both_show_the_superpixel():
    for number in range(4):
        episode = episodes()[number]
        assert np.abs(episode.target - episode.support_images[0]).max() > 0.05
        assert episode.target_label.any()
        assert episode.support_labels.any()
        assert set(np.unique(episode.target_label)) <= {0.0, 1.0}
        assert 0 <= episode.target.min() <= episode.target.max() <= 1


def test_episodes_depend_on_seed_and_number_only():
    jax.tree.map(np.testing.assert_array_equal, episodes()[3], episodes()[3])
    assert np.abs(episodes()[3].target - episodes(seed=1)[3].target).max() > 0.05
    assert np.abs(episodes()[3].target - episodes()[4].target).max() > 0.05


def test_only_allowed_slices_are_drawn():
    source = episodes(augmentation=STILL, allowed=[[4], []])
    for number in range(4):
        np.testing.assert_allclose(source[number].target[..., 0], STACKS[0].images[4], atol=1e-4)


def test_a_slice_without_superpixel_is_never_drawn():
    labels = [np.where(np.arange(9)[:, None, None] == 4, own, 0) for own in LABELS]
    source = SelfSupervisedEpisodes(STACKS, labels, seed=0, size=32, augmentation=STILL, smallest=5)
    for number in range(4):
        image = source[number].target[..., 0]
        assert min(np.abs(one.images[4] - image).max() for one in STACKS) < 1e-4


@pytest.mark.parametrize(("allowed", "smallest"), [([[], []], 5), (None, 10_000)])
def test_no_superpixel_in_any_slice_is_an_error(allowed, smallest):
    with pytest.raises(InputError, match="scans scan0, scan1: no allowed slice has a superpixel of"):
        episodes(allowed=allowed, smallest=smallest)


def test_changes_are_within_their_ranges():
    """A disc: its area tells the scale, its centre the shift."""
    y, x = np.indices((64, 64))
    disc = (((y - 31.5) ** 2 + (x - 31.5) ** 2 <= 100) * 1.0)[..., None].astype(np.float32)
    only = dataclasses.replace(STILL, scale=(1.2, 1.2), gamma=(0.5, 0.5))
    images, labels = map(np.asarray, augmented_copies(0, 0.5 * disc, disc, only, size=64))
    assert labels[0].sum() == pytest.approx(1.44 * disc.sum(), rel=0.06)
    inside = images[0][labels[0] > 0]
    assert np.median(inside) == pytest.approx(0.5**0.5, abs=1e-3)
    shifted = dataclasses.replace(STILL, shift=40.0)  # 10 pixels of 64
    for seed in range(5):
        _, labels = map(np.asarray, augmented_copies(seed, disc, disc, shifted, size=64))
        for label in labels:
            centre = np.argwhere(label[..., 0]).mean(axis=0) - 31.5
            assert np.abs(centre).max() <= 10.5


def test_scans_need_not_be_square():
    wide = dataclasses.replace(STACKS[0], images=STACKS[0].images[:, :20], labels=STACKS[0].labels[:, :20])
    source = SelfSupervisedEpisodes([wide], [wide.labels], seed=0, size=32, smallest=5)
    assert source[0].target.shape == (32, 32, 1)


@pytest.mark.parametrize("options", [{"shift": -1}, {"scale": (1.2, 0.9)}, {"gamma": (0.0, 1.0)}, {"elastic_sigma": 0}])
def test_ranges_are_checked(options):
    with pytest.raises(InputError, match=f"CopyAugmentation.{next(iter(options))}"):
        CopyAugmentation(**options)
