"""Experiments that follow the evaluation protocol, and their methods."""

import json
import re
from subprocess import CompletedProcess

import numpy as np
import pytest

from experiments import all_evaluations, bounds, pools, robustness, small_sets, support_size
from experiments import evaluate as heldout
from experiments.demo_steps import Images, leave_one_out, plot, read, steps, table
from experiments.robustness import Changed, WrongEntries, add_noise, blur, contrast, grow_or_shrink, rotate, shift
from experiments.unet import SupervisedUNet
from tests.helpers.discs import Discs
from universeg_jax.errors import InputError
from universeg_jax.evaluate.data import SupportPool
from universeg_jax.evaluate.metrics import dice


@pytest.fixture
def pool():
    data = Discs()
    return SupportPool(data, data.tasks[0], data.examples(data.tasks[0]), {})


class Recording:
    name = identity = "recording"

    def segment(self, support, targets):
        self.support, self.targets = support, targets
        return targets


@pytest.mark.usefixtures("compiled_as_by_users")
def test_a_unet_learns_its_task(pool):
    targets, truth = pool.take(range(12, 20))
    training = SupportPool(pool.data, pool.task, pool.examples[:12], {})
    network = SupervisedUNet(widths=(4, 8), steps=60, rate=1e-2, augmentation=None)
    found = network.predict(np.random.default_rng(0), training, 12, targets)
    assert np.mean([dice(p > 0.5, y >= 0.5) for p, y in zip(found, truth, strict=True)]) > 0.8


def test_changes_change_what_they_say(pool):
    rng = np.random.default_rng(0)
    images, masks = pool.first(6)
    assert np.std(add_noise(rng, 0 * images + 0.5, std=0.1) - 0.5) == pytest.approx(0.1, rel=0.1)
    assert blur(rng, images, sigma=1).std() < images.std()
    assert contrast(rng, images, factor=0.5).std() == pytest.approx(images.std() / 2, rel=0.1)
    np.testing.assert_array_equal(rotate(rng, images, degrees=90), np.rot90(images, axes=(1, 2)))
    np.testing.assert_allclose(rotate(rng, rotate(rng, images, degrees=90), degrees=-90), images, atol=1e-6)
    changed = grow_or_shrink(rng, masks, pixels=1).sum(axis=(1, 2, 3)) / masks.sum(axis=(1, 2, 3))
    assert (changed != 1).all()
    assert changed.min() < 1 < changed.max()
    assert (grow_or_shrink(rng, masks, pixels=8).sum(axis=(1, 2, 3)) > 0).all()
    overlaps = [dice(a >= 0.5, b >= 0.5) for a, b in zip(shift(rng, masks, pixels=2), masks, strict=True)]
    assert 0.2 < np.mean(overlaps) < 0.9


def test_predictions_of_rotated_targets_are_rotated_back(pool):
    base, rng = Recording(), np.random.default_rng(0)
    turned = Changed(
        base,
        "turned",
        targets=lambda _, images: np.rot90(images, axes=(1, 2)),
        undo=lambda _, images: np.rot90(images, -1, axes=(1, 2)),
    )
    targets = pool.take([10]).images
    np.testing.assert_array_equal(turned.predict(rng, pool, 2, targets), targets)
    np.testing.assert_array_equal(base.targets, np.rot90(targets, axes=(1, 2)))
    np.testing.assert_array_equal(base.support.images, pool.first(2).images)


def test_entries_of_a_wrong_class():
    data, base = Discs(), Recording()
    for task, same_images in ((data.tasks[0], True), (data.tasks[2], False)):
        pool = SupportPool(data, task, data.examples(task), {})
        WrongEntries(base, data.tasks, 0.25).predict(np.random.default_rng(0), pool, 8, pool.take([19]).images)
        images, labels = pool.first(8)
        equal = [np.array_equal(a, b) for a, b in zip(base.support.labels, labels, strict=True)]
        assert equal == [False] * 2 + [True] * 6
        assert np.array_equal(base.support.images, images) == same_images


def test_the_steps_of_the_demo(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (20, 4, 4))
    images = Images(labels / 2, labels)

    class Exact:
        """A segmenter that knows classes by their grey value."""

        def fit(self, images, labels):
            values = np.unique(labels)
            binary = labels.dtype == bool

            class Task:
                def predict_proba(self, targets):
                    cytoplasm = images[labels].mean() if binary else None
                    return (np.abs(targets - cytoplasm) < 0.1) * 1.0

                def predict(self, targets):
                    return self.predict_proba(targets) > 0.5 if binary else values[np.round(2 * targets).astype(int)]

            return Task()

    monkeypatch.setattr("experiments.demo_steps.SUPPORT", 8)
    found = steps(Exact(), images, images.take(slice(5)), rng)
    assert all(value == 1 for values in found.values() for value in values)
    assert len(found["their ensemble"]) == 5
    assert len(found["cytoplasm from 64, 3 test images"]) == 3
    assert leave_one_out(Exact(), images.take(slice(3))) == [1, 1, 1]
    assert plot(found).axes
    half = table({**found, "half": [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]}, title="w, 5 test images")
    assert "| the same, intensities inverted | 1.000 |" in half.markdown()
    low, high = map(float, re.search(r"half \| 0\.500 \[(.*), (.*)\]", half.markdown()).groups())
    assert 0 < low < 0.5 < high < 1


def test_reading_a_dataset_of_several_classes():
    found = read(Discs(number=3), "cells")
    assert found.images.shape == found.labels.shape == (3, 16, 16)
    assert set(np.unique(found.labels)) <= {0, 1, 2}


class ByBrightness:
    """A stand-in for a network that finds bright pixels, whatever the support."""

    def __init__(self, name="brightness"):
        self.name = self.identity = name

    def segment(self, support, targets):
        return targets

    def predict(self, rng, pool, support_size, targets):
        return targets


def run_main(monkeypatch, experiment, out, *options, held_out=slice(None)):
    """Run an experiment on discs, and return the results it wrote."""
    data = Discs()
    monkeypatch.setattr(experiment, "network_of", lambda _: ByBrightness())
    monkeypatch.setattr(experiment, "named", ByBrightness, raising=False)
    monkeypatch.setattr(experiment, "held_out", lambda _, **options: (data, list(data.tasks[held_out])))
    places = ["--corpus", "/some/corpus", "--weights", "/some/weights", "--out", str(out)]
    monkeypatch.setattr("sys.argv", [experiment.__file__, *places, *options])
    experiment.main()
    return json.loads((out / "results.json").read_text())


def test_robustness_without_folders_of_this_machine(monkeypatch, tmp_path, capsys):
    results = run_main(monkeypatch, robustness, tmp_path, "--support", "4")
    assert results["command"] == (
        "python -m experiments.robustness --corpus CORPUS --weights weights --out DIR --support 4"
    )
    found = {entry["method"]: entry["mean_over_tasks"]["dice"]["mean"] for entry in results["differences"]}
    assert len(found) == 16
    assert found["target: inverted intensities"] < -0.5  # bright discs, found by their brightness
    assert abs(found["target: rotation by 90°"]) < 1e-6
    assert "/some" not in (tmp_path / "results.json").read_text() + (tmp_path / "tables.md").read_text()
    assert "Difference from brightness, support 4" in capsys.readouterr().out


def test_support_sizes_of_large_and_small_datasets(monkeypatch, tmp_path):
    results = run_main(monkeypatch, support_size, tmp_path, held_out=slice(2))  # skin is left to be a small one
    sizes = {}
    for condition in results["conditions"]:
        sizes.setdefault(condition["method"], []).append(condition["support"])
    assert sizes == {"brightness": [1, 2, 4, 8, 16, 32, 64], "brightness, ensemble of 5": [1, 2, 4, 8, 16]}
    assert (tmp_path / "ensembling.png").exists()
    small = json.loads((tmp_path / "small" / "results.json").read_text())
    assert list(small["datasets"]) == ["skin"]
    assert small["conditions"][0]["tasks"]["skin/image/2d/c"]["cases"] == 8


def test_pools_hold_the_examples_of_all_ways(monkeypatch, tmp_path):
    results = run_main(monkeypatch, pools, tmp_path, "--pool", "2", "6", "--support", "2", "4")
    found = [(c["method"], c["pool"], c["support"]) for c in results["conditions"]]
    assert found == [
        (method, pool, size)
        for method in ("brightness", "brightness, ensemble of 5")
        for pool, size in ((2, 2), (6, 2), (6, 4))
    ]
    assert (results["baseline"]["method"], results["baseline"]["pool"], results["baseline"]["support"]) == (
        "brightness",
        6,
        4,
    )


def test_bounds_below_and_above(monkeypatch, tmp_path):
    class Trained(ByBrightness):
        def __init__(self, steps):
            assert steps == 7
            super().__init__("trained")

    monkeypatch.setattr(bounds, "SupervisedUNet", Trained)
    results = run_main(monkeypatch, bounds, tmp_path, "--support", "4", "--steps", "7")
    found = [(c["method"], c["support"]) for c in results["conditions"]]
    assert found == [("brightness", 4), ("nearest mask", 4), ("nearest mask", None), ("trained", None)]
    assert results["baseline"]["method"] == "brightness"


def test_held_out_datasets_with_few_labelled_examples(monkeypatch, tmp_path):
    options = ["--support", "2", "4", "--pool", "3", "6", "--ensemble", "2", "--against", "other"]
    results = run_main(monkeypatch, heldout, tmp_path, *options)
    found = [(c["method"], c["pool"], c["support"]) for c in results["conditions"]]
    assert found == [
        (method, pool, size)
        for method in ("brightness", "brightness, ensemble of 2", "other")
        for pool, size in ((3, 2), (6, 2), (6, 4))
    ]
    assert results["baseline"] == {"method": "other", "support": 4, "pool": 6}


def test_held_out_datasets_at_another_resolution(monkeypatch, tmp_path):
    def nothing(arguments, *, resolution):
        raise InputError(f"at {resolution} px")

    monkeypatch.setattr(heldout, "network_of", lambda _: ByBrightness())
    monkeypatch.setattr(heldout, "held_out", nothing)
    for options, found in (([], 128), (["--resolution", "64"], 64)):
        monkeypatch.setattr("sys.argv", ["evaluate", "--corpus", "corpus", "--out", str(tmp_path), *options])
        with pytest.raises(InputError, match=f"at {found} px"):
            heldout.main()


def test_weights_are_not_compared_with_themselves(monkeypatch, tmp_path):
    others = ["--against", "open-v1", "/some/weights", "open-v0"]
    results = run_main(monkeypatch, small_sets, tmp_path, *others, held_out=slice(0))
    assert {c["method"] for c in results["conditions"]} == {"brightness", "open-v1", "open-v0"}
    assert results["baseline"]["method"] == "open-v0"


def test_small_sets_by_name_and_a_corpus_without_any(monkeypatch, tmp_path, capsys):
    results = run_main(monkeypatch, small_sets, tmp_path, "--tasks", "skin/*", held_out=slice(1))
    assert {task for c in results["conditions"] for task in c["tasks"]} == {"skin/image/2d/c"}
    with pytest.raises(InputError, match=r"--tasks heart/\*: match none of .*skin/image/2d/c"):
        run_main(monkeypatch, small_sets, tmp_path, "--tasks", "heart/*", held_out=slice(1))
    monkeypatch.setattr(small_sets, "held_out", lambda _: (Discs(), Discs().tasks))
    small_sets.main()
    assert "nothing to measure" in capsys.readouterr().out


def test_all_experiments_stop_at_one_that_fails(monkeypatch, tmp_path):
    started = []

    def run(words, **options):
        started.append(words)
        return CompletedProcess(words, 0 if len(started) == 1 else 2)

    monkeypatch.setattr(all_evaluations.subprocess, "run", run)
    monkeypatch.setattr("sys.argv", ["all_evaluations", "--corpus", "corpus", "--out", str(tmp_path)])
    with pytest.raises(InputError, match=r"experiments\.small_sets ended with exit code 2; its messages are above"):
        all_evaluations.main()
    assert len(started) == 2
    assert list(tmp_path.iterdir()) == []
