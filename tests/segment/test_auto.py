from dataclasses import replace

import jax.numpy as jnp
import pytest

import universeg_jax.weights
from tests.helpers.painting_sam import PaintingSAM
from tests.helpers.stand_in import Brightness, bright_disc
from universeg_jax.errors import SegmentationWarning, WeightsError
from universeg_jax.models.protosam.config import ProtoSAMConfig
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.segment import auto
from universeg_jax.segment.segmenter import Segmenter

pytestmark = pytest.mark.filterwarnings("ignore::universeg_jax.errors.SegmentationWarning")


class Dark(Brightness):
    """Takes dark pixels for the foreground, which is wrong here."""

    def prepare(self, images, labels, mask):
        predictor = super().prepare(images, labels, mask)
        return lambda targets, regions, weights=None: -predictor(targets, regions)


class BlindSAM(PaintingSAM):
    """A SAM to which all images look alike."""

    def encode(self, images):
        return super().encode(jnp.full_like(images, 0.5))


class Faint(Brightness):
    """Finds what Brightness finds, with probabilities of at most 0.4."""

    def prepare(self, images, labels, mask):
        predictor = super().prepare(images, labels, mask)
        return lambda targets, regions, weights=None: jnp.minimum(predictor(targets, regions), -0.4)


@pytest.fixture
def models(monkeypatch):
    """Replace UniverSeg and the SAM of an automatic segmenter."""

    def use(universeg, sam):
        monkeypatch.setattr(universeg_jax.weights, "load", lambda name: universeg)
        found = (None, "no network") if sam is None else (ProtoSAM(sam), "")
        monkeypatch.setattr(auto, "_protosam", lambda: found)
        return Segmenter("auto")

    return use


def discs(number):
    return (list(part) for part in zip(*(bright_disc(seed) for seed in range(number)), strict=True))


def test_the_better_model_is_chosen(models):
    images, labels = discs(6)
    for universeg, sam, better in [(Brightness(), BlindSAM(), True), (Dark(), PaintingSAM(), False)]:
        task = models(universeg, sam).fit(images, labels)
        assert (task.plan.weights[0] > 0.5) == better
        assert task.choice.dice[task.choice.name] == max(task.choice.dice.values()) > 0.8
        assert "leave-one-out over 6 examples" in task.choice.reason
        assert task.forecast() is task.choice.forecast
        assert task.segment(images)[0].predicted_dice is not None


def test_the_threshold_is_chosen_too(models):
    images, labels = discs(8)
    task = models(Faint(), None).fit(images, labels)
    assert 0.3 <= task.plan.threshold < 0.4
    assert task.choice.name.endswith(f", threshold {task.plan.threshold:g}")
    assert task.forecast().dice > 0.9
    assert task.segment(images[:1])[0].probability.max() > 0.5
    assert ((task.predict(images)[0] > 0) == (labels[0] > 0)).mean() > 0.95


def test_one_example_follows_the_training_sets(models):
    images, labels = discs(1)
    task = models(Brightness(), PaintingSAM()).fit(images, labels)
    assert task.plan.weights == (0.25, 0.75, 0.0)
    assert task.choice.dice == {}
    assert task.forecast() is None
    assert task.segment(images)[0].predicted_dice is None


def test_similar_examples_are_tried_from_eight_on(models):
    images, labels = discs(8)
    tried = models(Brightness(), BlindSAM()).fit(images, labels).choice.dice
    assert any(name.startswith("UniverSeg, 4 most similar examples") for name in tried)
    assert not any(
        "similar" in name for name in models(Brightness(), BlindSAM()).fit(images[:7], labels[:7]).choice.dice
    )


def test_encodings_are_reused(models):
    images, labels = discs(5)
    sam = PaintingSAM()
    task = models(Brightness(), sam).fit(images, labels)
    task.predict(images)
    assert sum(sam.encoded) == 5


def test_without_protosam_universeg_segments_alone_and_says_so(models):
    images, labels = discs(4)
    with pytest.warns(SegmentationWarning, match="ProtoSAM is not available, open-v4 segments alone: no network"):
        segmenter = models(Brightness(), None)
    task = segmenter.fit(images, labels)
    assert task.choice.name.startswith("UniverSeg")
    assert task.plan.weights == (1.0,)
    assert task.choice.forecast.examples == 4


def test_a_failed_download_is_one_line_and_not_repeated(monkeypatch, tmp_path):
    tried = []

    def fails():
        tried.append(1)
        raise WeightsError("pip cannot download it\nrun this command")

    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(tmp_path))
    monkeypatch.setattr("universeg_jax.weights.loading.protosam", fails)
    for _ in range(2):
        assert auto._protosam() == (None, "pip cannot download it")
    assert len(tried) == 1


def test_both_protosams_share_their_encodings():
    model = ProtoSAM(PaintingSAM())
    coarse = model.with_config(replace(model.config, refinement=None))
    assert coarse.encoder is model.encoder
    assert model.with_config(ProtoSAMConfig.upstream()).encoder is not model.encoder
