"""The automatic choice of networks for volumes."""

import numpy as np
import pytest

import universeg_jax.weights
from tests.helpers.intensities import Intensities
from tests.helpers.make_volumes import SHAPE, affine, scene
from universeg_jax.errors import SegmentationWarning
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.volumes import Volume
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.segment import auto, volume
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.segment.volume import LabelledVolume, fit_pictures, fit_volumes


class Blind(Intensities):
    """Finds nothing."""

    def prepare(self, images, labels, mask):
        super().prepare(images, labels, mask)
        return lambda targets, regions=None, weights=None: np.full((len(labels), *targets.shape), -6.0)


class OnDemand:
    """Takes in many slices, as ProtoSAM does, and finds structures by their intensities in those that it may use.

    Attributes:
        labels: of the last support set.
        weights: of each call.
        forgotten: number of images that were freed.
    """

    input_size, input_channels, padding = 16, 3, "edge"
    encodes_on_demand = True
    config = ProtoSAMConfig()

    def __init__(self, blind=False):
        self.blind = blind
        self.labels, self.weights, self.forgotten = np.zeros(0), [], 0

    def with_config(self, config):
        return self

    def forget(self, images):
        self.forgotten += len(images)

    def prepare(self, images, labels, mask):
        self.labels = labels

        def predictor(targets, regions=None, weights=None):
            self.weights.append(weights)
            grey = Intensities(16).prepare(images.mean(axis=-1, keepdims=True), labels, mask * (weights[0] > 0))
            return grey(targets.mean(axis=-1, keepdims=True)) * (not self.blind) - 9 * self.blind

        return predictor


@pytest.fixture
def models(monkeypatch):
    """Replace UniverSeg and ProtoSAM of an automatic segmenter."""

    def use(universeg, protosam):
        monkeypatch.setattr(universeg_jax.weights, "load", lambda name: universeg)
        found = (None, "no network") if protosam is None else (protosam, "")
        monkeypatch.setattr(auto, "_protosam", lambda: found)
        return Segmenter("auto")

    return use


def labelled(*numbers):
    return [LabelledVolume(Volume(f"scan {i}", scene(i)[0], affine()), scene(i)[1]) for i in numbers]


def test_the_better_model_is_chosen(models):
    task = fit_volumes(models(Blind(), OnDemand()), labelled(0, 1))
    assert task.pools[0].plan == task.choice.plan
    assert task.choice.plan.weights[0] == 0
    assert "leave-one-out over 16 slices of 2 volumes" in task.choice.reason
    assert str(task.forecast()).endswith("from leave-one-out over 2 volumes")
    found = task.segment(labelled(5)[0].image)
    assert found.predicted_dice == pytest.approx(task.forecast().dice, abs=0.2)
    assert dice(found.mask == 1, scene(5)[1] == 1) > 0.6
    task = fit_volumes(models(Intensities(), OnDemand(blind=True)), labelled(0, 1))
    assert task.choice.plan.weights[0] > 0.5


@pytest.mark.filterwarnings("ignore:ProtoSAM is not available")
def test_thresholds_are_tried_from_eight_volumes_on(models):
    segmenter = models(Intensities(), None)
    for number, tried in ((7, False), (8, True)):
        task = fit_volumes(segmenter, labelled(*range(number)))
        assert any(", threshold " in name for name in task.choice.dice) == tried


def test_slices_of_the_same_volume_have_no_weight(models):
    model = OnDemand()
    task = fit_volumes(models(Intensities(), model), labelled(0, 1))
    subjects = task.pools[0].candidates.subjects[task.pools[0].models[1].entries]
    for weights in model.weights:
        used = weights[0] > 0
        assert len(set(subjects[used])) == 1
        assert len(set(weights[0][used])) == used.sum()  # a ranking
    assert model.forgotten == 0
    task.segment(labelled(5)[0].image)
    assert (model.weights[-1][0] > 0).all()
    assert model.forgotten == 2 * SHAPE[2]  # each slice, by both configurations of the model


def test_several_structures_come_with_their_background(models):
    model = OnDemand()
    fit_volumes(models(Intensities(), model), labelled(0, 1))
    assert len(model.labels) == 3
    inside = model.labels.sum(axis=0)
    np.testing.assert_allclose(inside[inside > 0], 1, atol=1e-6)
    volumes = [LabelledVolume(one.image, (one.labels == 1).astype(np.uint8)) for one in labelled(0, 1)]
    fit_volumes(models(Intensities(), model), volumes)
    assert len(model.labels) == 1


def test_one_labelled_volume_follows_the_training_sets(models):
    task = fit_volumes(models(Intensities(), OnDemand()), labelled(0))
    assert task.choice.plan.weights == (0.5, 0.5, 0.0)
    assert task.choice.reason.startswith("one labelled volume allows no leave-one-out")
    assert task.forecast() is None
    assert task.segment(labelled(5)[0].image).predicted_dice is None


def test_a_known_choice_is_taken_over(models):
    segmenter, first = models(Intensities(), OnDemand()), labelled(0)[0]
    known = fit_volumes(segmenter, [first]).choice
    images = [one.image.voxels for one in labelled(0, 1)]
    labels = [one.labels for one in labelled(0, 1)]
    assert segmenter.fit(images, labels, axis=2, choice=known).choice is known


def test_pictures_choose_for_volumes_too(models):
    images, labels = zip(*((scene(i)[0][:, :, 5].T, scene(i)[1][:, :, 5].T) for i in range(4)), strict=True)
    task = fit_pictures(models(Blind(), OnDemand()), images, labels, list("abcd"))
    assert task.pools[0].plan.weights[1] > 0.5
    assert "leave-one-out over 4 slices of 4 pictures" in task.choice.reason


def test_partly_labelled_volumes_are_tested_on_their_labelled_slices(models):
    volumes = labelled(0, 1)
    for one in volumes:
        one.labels[..., [0, 1, 2, 3, 4, 7, 8, 9]] = 0
    task = fit_volumes(models(Intensities(), OnDemand()), volumes, labelled_slices=True)
    assert "leave-one-out over 4 slices of 2 volumes" in task.choice.reason


def test_a_structure_that_one_volume_lacks_is_no_reason_to_stop(models):
    volumes = labelled(0, 1)
    volumes[0].labels[volumes[0].labels == 2] = 0
    task = fit_volumes(models(Intensities(), OnDemand()), volumes)
    assert task.forecast().dice > 0.5
    only = [LabelledVolume(volumes[0].image, volumes[0].labels * 0), volumes[1]]
    with pytest.warns(SegmentationWarning, match="empty mask"):
        task = fit_volumes(models(Intensities(), OnDemand()), only)
    assert task.choice.reason.startswith("no class is shown by two volumes")
    assert task.forecast() is None
    assert task.segment(labelled(5)[0].image).mask.shape == SHAPE


def test_without_protosam_universeg_segments_alone_and_says_so(models):
    with pytest.warns(SegmentationWarning, match="ProtoSAM is not available, open-v4 segments alone: no network"):
        segmenter = models(Intensities(), None)
    task = fit_volumes(segmenter, labelled(0, 1))
    assert task.choice.name.startswith("UniverSeg")
    assert task.pools[0].plan.weights == (1.0,)


def test_few_slices_are_kept_for_the_model_that_encodes_them(models, monkeypatch):
    monkeypatch.setattr(volume, "MOST_ENCODED", 7)
    task = fit_volumes(models(Intensities(), OnDemand()), labelled(0, 1, 2))
    few, candidates = task.pools[0].models[1].entries, task.pools[0].candidates
    assert len(few) <= 7
    assert np.bincount(candidates.subjects[few]).tolist() == [3, 2, 2]
    assert candidates.shown[:, few].any(axis=1).all()
    assert len(task.pools[0].models[0].entries) == 30
    assert task.segment(labelled(5)[0].image).mask.any()
    pools = fit_volumes(models(Intensities(), OnDemand()), labelled(0, 1, 2), axis="all").pools
    assert sum(len(pool.models[1].entries) for pool in pools) <= 7
    assert len({id(pool.plan) for pool in pools}) == 1
