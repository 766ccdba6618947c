import warnings
import weakref

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tqdm import tqdm

from tests.helpers.matcher import Matcher, Recorder, examples
from universeg_jax import weights
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.models.in_context import InContextModel
from universeg_jax.segment.segmenter import Segmenter, load_in_context
from universeg_jax.segment.task import MOST_KEPT


def test_only_models_are_taken():
    assert isinstance(Matcher(), InContextModel)
    with pytest.raises(TypeError, match="a function is not an in-context model"):
        Segmenter(lambda images: images)


@pytest.mark.parametrize(
    ("values", "dtype"), [((0, 1), bool), ((0, 255), np.uint8), ((2, 5), np.int16), ((0, 3, 7), np.uint16)]
)
def test_predictions_hold_the_values_of_the_labels(values, dtype):
    images, labels = examples(4, values=values, dtype=dtype, size=(16, 16))
    task = Segmenter(Matcher()).fit(images, labels)
    masks = task.predict(images)
    for mask, label in zip(masks, labels, strict=True):
        assert mask.dtype == dtype
        assert (mask == label).mean() > 0.95
    assert task.classes.tolist() == list(values)


def test_soft_labels_give_boolean_masks():
    images, labels = examples(2)
    task = Segmenter(Matcher()).fit(images, [label * 0.9 for label in labels])
    assert task.predict(images)[0].dtype == bool


def test_lists_give_lists_and_arrays_give_arrays():
    images, labels = examples(3, values=(0, 1, 2))
    task = Segmenter(Matcher()).fit(np.stack(images), np.stack(labels))
    assert isinstance(task.predict(images), list)
    assert task.predict(np.stack(images)).shape == (3, 20, 20)
    assert task.predict_proba(jnp.stack(images)).shape == (3, 20, 20, 3)
    assert len(task.segment(np.stack(images))) == 3


def test_the_three_methods_agree():
    images, labels = examples(3, values=(0, 4, 9))
    task = Segmenter(Matcher()).fit(images, labels)
    for result, mask, probability in zip(
        task.segment(images), task.predict(images), task.predict_proba(images), strict=True
    ):
        np.testing.assert_array_equal(result.mask, mask)
        np.testing.assert_array_equal(result.probability, probability)
        np.testing.assert_array_equal(mask, task.classes[probability.argmax(-1)])
        np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-5)
        assert result.spread is None


def test_threshold_moves_the_border():
    images, labels = examples(3, size=(40, 40))
    task = Segmenter(Matcher()).fit(images, labels)
    (probability,) = task.predict_proba(images[:1])
    for threshold in (0.01, 0.5, 0.99):
        np.testing.assert_array_equal(task.predict(images[:1], threshold=threshold)[0], probability > threshold)


GREY, COLOUR = Matcher(), Matcher(channels=3)  # one of each, so that they compile once


@pytest.mark.filterwarnings("ignore::universeg_jax.errors.SegmentationWarning")
@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.data())
def test_any_mix_of_images_is_segmented_at_its_size(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))

    def image():
        shape = (data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300)))
        channels = data.draw(st.sampled_from([(), (1,), (2,), (3,), (4,)]))
        dtype = data.draw(st.sampled_from([bool, np.uint8, np.uint16, np.int32, np.float16, np.float32, float]))
        return (rng.random((*shape, *channels)) * 300).astype(dtype)

    values = data.draw(st.sampled_from([(0, 1), (0, 255), (0, 3, 7), (1, 2, 3, 200)]))
    images = [image() for _ in range(3)]
    labels = [rng.choice(values, im.shape[:2]) for im in images]
    labels[0] = np.resize(values, images[0].shape[:2])
    if len(np.unique(np.concatenate([label.ravel() for label in labels]))) == 1:
        return  # a single pixel in all: there is nothing to segment
    model = data.draw(st.sampled_from([GREY, COLOUR]))
    task = Segmenter(model).fit(images, labels)
    targets = [image() for _ in range(data.draw(st.integers(1, 4)))]
    for target, result in zip(targets, task.segment(targets), strict=True):
        assert result.mask.shape == target.shape[:2]
        assert set(np.unique(result.mask)) <= set(values)
        assert result.probability.shape[:2] == target.shape[:2]
        assert result.probability.dtype == np.float32
        assert result.probability.min() >= 0
        assert result.probability.max() <= 1


def test_the_scale_of_intensities_does_not_matter():
    images, labels = examples(3, noise=40)
    expected = Segmenter(Matcher()).fit(images, labels).predict_proba(images)
    for scaled in (
        [i / 255 for i in images],
        [i.astype(np.uint16) * 257 for i in images],
        [3 - i / -7 for i in images],
    ):
        found = Segmenter(Matcher()).fit(scaled, labels).predict_proba(scaled)
        np.testing.assert_allclose(np.stack(found), np.stack(expected), atol=1e-6)


def test_a_window_is_the_same_for_all_images():
    image = np.repeat([50.0, 100.0], 128).reshape(16, 16)
    assert np.unique(Segmenter(Matcher(), window=(0, 200)).view(image).pixels).tolist() == [0.25, 0.5]
    assert np.unique(Segmenter(Matcher()).view(image).pixels).tolist() == [0, 1]
    with pytest.raises(InputError, match=r"window=\(3, 3\)"):
        Segmenter(Matcher(), window=(3, 3))


def test_models_compile_for_few_shapes():
    model = Matcher()
    images, labels = examples(7)
    for support, targets in [(5, 1), (6, 1), (5, 3), (6, 4), (5, 20), (6, 19), (7, 20)]:
        Segmenter(model).fit(images[:support], labels[:support]).predict((images * 3)[:targets])
    assert model.traced == [(6, 1), (6, 4), (6, 16), (8, 16), (8, 4)]


def test_filling_up_changes_nothing():
    images, labels = examples(17, values=(0, 1, 2))
    together = Segmenter(Matcher()).fit(images[:5], labels[:5]).predict_proba(images)
    for image, probability in zip(images, together, strict=True):
        alone = Segmenter(Matcher()).fit(images[:5], labels[:5]).predict_proba([image])[0]
        np.testing.assert_allclose(alone, probability, atol=1e-6)


def test_a_support_set_is_prepared_once():
    model = Matcher()
    images, labels = examples(3)
    task = Segmenter(model).fit(images, labels)
    task.predict(images * 10)
    task.predict_proba(images)
    assert len(model.prepared) == 1


def test_ensembles_are_seeded_and_average_their_draws():
    images, labels = examples(12, noise=90)
    task = Segmenter(Matcher()).fit(images, labels)
    (result,) = task.segment(images[:1], ensemble=5, support_size=3, seed=1)
    assert result.spread.shape == result.probability.shape
    assert result.spread.max() > 0
    (again,) = task.segment(images[:1], ensemble=5, support_size=3, seed=1)
    np.testing.assert_array_equal(again.probability, result.probability)
    (other,) = task.segment(images[:1], ensemble=5, support_size=3, seed=2)
    assert (other.probability != result.probability).any()
    with pytest.warns(SegmentationWarning, match="every draw shows all 12 support entries"):
        (whole,) = task.segment(images[:1], ensemble=3, support_size=12)
    np.testing.assert_allclose(whole.probability, task.predict_proba(images[:1])[0], atol=1e-5)
    np.testing.assert_allclose(whole.spread, 0, atol=1e-6)


def test_predictors_of_many_draws_are_not_all_in_memory():
    images, labels = examples(12, noise=90)
    alive, most = weakref.WeakSet(), []

    class Watched(Matcher):
        def prepare(self, images, labels, mask):
            predictor = super().prepare(images, labels, mask)
            alive.add(predictor)
            most.append(len(alive))
            return predictor

    task = Segmenter(Watched()).fit(images, labels)
    task.segment(images[:1], ensemble=MOST_KEPT + 20, support_size=3)
    assert len(most) == MOST_KEPT + 20
    assert max(most) <= MOST_KEPT + 2


@pytest.mark.parametrize(
    ("options", "entries"),
    [({}, 9), ({"ensemble": 2}, 4), ({"support_size": 3}, 3), ({"ensemble": 2, "support_size": 7}, 7)],
)
def test_a_draw_has_the_size_asked_for(options, entries):
    images, labels = examples(9, size=(16, 16))
    task = Segmenter(Recorder()).fit(images, labels)
    np.testing.assert_allclose(task.predict_proba(images, **options), 1 / (1 + np.exp(-entries / 10)), atol=1e-6)


def test_entries_count_for_the_classes_they_show():
    model = Matcher()
    images, labels = examples(3, values=(0, 3, 7))
    labels[0] = np.minimum(labels[0], 3)
    Segmenter(model).fit(images, labels).predict(images)
    assert model.prepared[0][2].astype(int).tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 1]]


@pytest.mark.filterwarnings("ignore::universeg_jax.errors.SegmentationWarning")
def test_a_support_set_of_empty_boolean_masks_is_defined():
    images, _ = examples(3)
    task = Segmenter(Matcher()).fit(images, [np.zeros((20, 20), bool)] * 3)
    assert task.predict(images, ensemble=2)[0].shape == (20, 20)


def test_warnings_name_the_entry_and_point_at_the_caller():
    images, labels = examples(3)
    with pytest.warns(SegmentationWarning, match="^b.png: the mask is empty or full") as caught:
        Segmenter(Matcher()).fit(images, [labels[0], labels[1] * 0, labels[2]], names=["a.png", "b.png", "c.png"])
    assert caught[0].filename == __file__
    task = Segmenter(Matcher()).fit(images, labels)
    for method in (task.predict, task.predict_proba, task.segment):
        with pytest.warns(SegmentationWarning, match="^image 1: the image is constant") as caught:
            method([images[0], images[1] * 0])
        assert caught[0].filename == __file__


def test_ordinary_data_gives_no_warning():
    images, labels = examples(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Segmenter(Matcher()).fit(images, labels).predict(images)


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "complex64", "float31"])
def test_only_floating_point_numbers_are_computed_in(dtype):
    with pytest.raises(InputError, match=f"dtype='{dtype}': pass float32 or bfloat16"):
        Segmenter(Matcher(), dtype=dtype)
    for usable in ("float32", np.float64, "bfloat16", jnp.bfloat16):
        assert Segmenter(Matcher(), dtype=usable).dtype in (jnp.float32, jnp.bfloat16)


def test_what_does_not_fit_together_is_refused():
    images, labels = examples(3)
    segmenter = Segmenter(Matcher())
    with pytest.raises(InputError, match="3 support images but 2 labels"):
        segmenter.fit(images, labels[:2])
    with pytest.raises(InputError, match="support image 1 is 20x20 but its label is 10x20"):
        segmenter.fit(images, [labels[0], labels[1][:10], labels[2]])
    with pytest.raises(InputError, match=r"a\.png has NaN"):
        segmenter.fit([np.full((4, 4), np.nan)], [np.eye(4)], names=["a.png"])
    with pytest.raises(InputError, match="looks like one image"):
        segmenter.fit(images, labels).predict(images[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ensemble": 0}, "ensemble=0"),
        ({"support_size": 0}, "support_size=0: the support set has 3 entries"),
        ({"support_size": 4}, "support_size=4: the support set has 3 entries"),
        ({"seed": -1}, "seed=-1"),
        ({"threshold": 0}, "threshold=0"),
        ({"threshold": 1.0}, "threshold=1"),
        ({"threshold": float("nan")}, "threshold=nan"),
    ],
)
def test_unusable_options_are_refused(options, message):
    images, labels = examples(3)
    with pytest.raises(InputError, match=message):
        Segmenter(Matcher()).fit(images, labels).predict(images, **options)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_when_asked_for(progress, capsys, monkeypatch):
    images, labels = examples(3)
    task = Segmenter(Matcher(), progress=progress).fit(images, labels)
    monkeypatch.setattr(
        "universeg_jax.segment.task.tqdm", lambda **options: tqdm(**options | {"delay": 0, "mininterval": 0})
    )
    task.predict(images * 6, ensemble=2)
    shown = capsys.readouterr().err
    assert ("segmenting: 100%" in shown and "36/36" in shown) == progress
    assert bool(shown) == progress


def test_weights_of_a_network_that_cannot_be_shown_examples_are_refused(monkeypatch):
    monkeypatch.setattr(weights, "load", lambda name: object())
    with pytest.raises(InputError, match="dinov2-vits14: these are weights of a object"):
        load_in_context("dinov2-vits14")
