import jax
import jax.numpy as jnp
import numpy as np
import pytest

from universeg_jax.data.episodes import synthetic
from universeg_jax.data.episodes.stream import Mixture, batches
from universeg_jax.data.episodes.synthetic import SyntheticEpisodes, write_synthetic
from universeg_jax.data.episodes.synthetic_images import (
    LABELS,
    SyntheticTask,
    draw_subject,
    draw_task,
    synthetic_images,
)
from universeg_jax.data.readers import npz
from universeg_jax.errors import InputError

SIZE, SUBJECTS = 64, 6  # always the same: each number of images is compiled for
one_subject = jax.jit(draw_subject)


@pytest.fixture(scope="module")
def tasks() -> list:
    """Thirty tasks."""
    draw = jax.jit(jax.vmap(lambda key: draw_task(key, size=SIZE)))
    drawn = draw(jax.random.split(jax.random.key(0), 30))
    return [SyntheticTask(*fields) for fields in zip(*drawn, strict=True)]


def test_an_image_is_the_same_whenever_it_is_drawn():
    images, classes = synthetic_images(3, 7, np.arange(SUBJECTS), size=SIZE)
    assert images.shape == (SUBJECTS, SIZE, SIZE, 1)
    assert classes.shape == (SUBJECTS, SIZE, SIZE)
    chosen = np.array([4, 2, 2, 5, 90, 91])
    later, later_classes = synthetic_images(3, 7, chosen, size=SIZE)
    np.testing.assert_array_equal(later[:4], images[chosen[:4]])
    np.testing.assert_array_equal(later_classes[:4], classes[chosen[:4]])
    for seed, task in ((4, 7), (3, 8)):
        other, _ = synthetic_images(seed, task, np.arange(SUBJECTS), size=SIZE)
        assert jnp.abs(other - images).mean() > 0.05


def test_subjects_of_a_task_are_alike_but_not_the_same():
    _, classes = synthetic_images(0, 1, np.arange(SUBJECTS), size=SIZE)
    _, others = synthetic_images(0, 2, np.arange(SUBJECTS), size=SIZE)
    within = (classes[:-1] == classes[1:]).mean()
    across = (classes == others).mean()
    assert within > across + 0.2
    assert within < 0.999


def test_walls_enclose_cores():
    draw = jax.jit(jax.vmap(lambda key: draw_task(key, size=SIZE, walled=1.0).template))
    templates, half = np.asarray(draw(jax.random.split(jax.random.key(0), 20))), LABELS // 2
    cores = templates > half
    assert 0.1 < cores.mean() < 0.7
    for axis in (1, 2):  # a neighbour of a core pixel is in the same core or in its wall
        a, b = np.moveaxis(templates, axis, 0)[:-1], np.moveaxis(templates, axis, 0)[1:]
        for inner, beside in ((a, b), (b, a)):
            core = inner > half
            own = (beside == inner) | (beside == inner - half)
            assert own[core].mean() > 0.95  # but where a wall is thinner than a pixel


def test_a_share_of_the_tasks_is_walled():
    draw = jax.jit(jax.vmap(lambda key, walled: draw_task(key, size=SIZE, walled=walled).template, (0, None)))
    keys = jax.random.split(jax.random.key(0), 30)
    plain, some, all_of_them = (np.asarray(draw(keys, walled)) for walled in (0.0, 0.5, 1.0))
    as_plain, as_walled = ((some == other).all(axis=(1, 2)) for other in (plain, all_of_them))
    assert (as_plain | as_walled).all()
    assert 8 <= as_walled.sum() <= 22


def test_templates_have_the_papers_number_of_labels_and_no_small_ones(tasks):
    areas = np.array([[(task.template == label).mean() for label in range(1 + LABELS)] for task in tasks])
    assert not ((areas > 0) & (areas < 0.001))[:, 1:].any()
    counts = (areas[:, 1:] > 0).sum(axis=1)
    assert counts.min() >= 3  # of 5, those that nowhere are the largest, or hardly, are lost
    assert counts.max() <= LABELS
    assert counts.max() - counts.min() >= 8
    largest = areas[:, 1:].max(axis=1)
    assert largest.min() < 0.2
    assert largest.max() > 0.3


def test_strengths_are_in_the_papers_ranges(tasks):
    def values(name: str) -> np.ndarray:
        return np.array([getattr(task, name) for task in tasks])

    for name, low, high in (
        ("means", 0, 1),
        ("stds", 0.01, 1),
        ("mean_std", 0.01, 0.1),
        ("blur_sigma", 0.5, 5),
        ("bias_std", 0.1, 1),
    ):
        drawn = values(name)
        assert drawn.min() >= low
        assert drawn.max() <= high
        assert np.ptp(drawn) > 0.6 * (high - low)
    assert values("warp_std").max() <= 20


def test_images_fill_the_range_and_show_their_labels(tasks):
    """Without blur and bias, the mean over a label is the label's intensity."""
    task = tasks[0]._replace(blur_sigma=jnp.array(1e-3), bias_std=jnp.array(0.0), mean_std=jnp.array(0.0))
    task = task._replace(stds=jnp.full(1 + LABELS, 0.02))
    image, classes = one_subject(jax.random.key(1), task)
    assert image.min() == 0
    assert image.max() == 1
    shown = [label for label in range(1 + LABELS) if (classes == label).mean() > 0.01]
    means = [image[..., 0][classes == label].mean() for label in shown]
    assert np.corrcoef(means, task.means[jnp.array(shown)])[0, 1] > 0.999


def test_a_task_without_deformation_is_its_template(tasks):
    _, classes = one_subject(jax.random.key(1), tasks[0]._replace(warp_std=jnp.zeros(4)))
    np.testing.assert_array_equal(classes, tasks[0].template)


def test_outlined_tasks_differ_by_lines():
    plain, classes = synthetic_images(0, 1, np.arange(SUBJECTS), size=SIZE)
    outlined, same_classes = synthetic_images(0, 1, np.arange(SUBJECTS), size=SIZE, outlined=1.0)
    np.testing.assert_array_equal(classes, same_classes)
    none, _ = synthetic_images(0, 1, np.arange(SUBJECTS), size=SIZE, outlined=0.0)
    np.testing.assert_array_equal(plain, none)

    def between(images):
        """Variance of the labels' means, as a fraction of the image's."""
        means = [np.mean(images[..., 0][classes == label]) for label in np.unique(classes)]
        return np.var(means) / np.var(images)

    assert between(np.asarray(outlined)) < 0.5 * between(np.asarray(plain))


def test_lines_lie_on_the_borders_of_labels(tasks):
    still = tasks[0]._replace(
        **{name: jnp.zeros_like(getattr(tasks[0], name)) for name in ("stds", "mean_std", "warp_std", "bias_std")},
        **{"contrast": jnp.zeros(()), "outline": jnp.ones(()), "outline_sigma": jnp.ones(()), "blur_sigma": 0.1},
    )
    image, labels = one_subject(jax.random.key(0), still)
    there = np.diff(np.asarray(labels), axis=0) != 0
    lines = np.asarray(image)[:-1, :, 0]
    assert lines[there].mean() > 0.8
    assert np.median(lines[~there]) < 0.2


def test_deformations_are_smooth(tasks):
    """A straight border stays one line: neighbouring rows cross it at neighbouring columns."""
    halves = jnp.zeros((SIZE, SIZE), int).at[:, SIZE // 2 :].set(1)
    moved = np.stack(
        [one_subject(jax.random.key(i), task._replace(template=halves))[1] for i, task in enumerate(tasks)]
    )
    crossings = moved.argmax(axis=2)
    assert np.abs(crossings - SIZE // 2).max() > 2
    assert np.median(np.abs(np.diff(crossings, axis=1))) <= 1
    assert (np.abs(np.diff(moved, axis=2)).sum(axis=2) == 1).mean() > 0.95


@pytest.fixture(scope="module")
def source() -> SyntheticEpisodes:
    return SyntheticEpisodes(seed=1, support_size=SUBJECTS - 1, tasks=20, subjects=10, size=SIZE)


def test_episodes_are_of_one_label_that_all_show(source):
    seen = set()
    for number in range(12):
        episode = source[number]
        assert episode.target.shape == (SIZE, SIZE, 1)
        assert episode.support_labels.shape == (SUBJECTS - 1, SIZE, SIZE, 1)
        assert episode.support_mask.all()
        assert episode.number == number
        assert episode.target_label.any()
        assert set(np.unique(episode.support_labels)) <= {0.0, 1.0}
        shown = episode.support_labels.any(axis=(1, 2, 3))
        assert shown.mean() > 0.5
        assert not (episode.support_images == episode.target).all(axis=(1, 2, 3)).any()
        seen.add(int(episode.task))
    assert len(seen) > 5


def test_episodes_are_the_same_in_any_order(source):
    again = SyntheticEpisodes(seed=1, support_size=SUBJECTS - 1, tasks=20, subjects=10, size=SIZE)
    for number in (7, 3):
        for a, b in zip(source[number], again[number], strict=True):
            np.testing.assert_array_equal(a, b)
    assert (source[3].target != source[7].target).any()


def test_episodes_mix_in_a_stream(source):
    mixed = Mixture([(0.5, source), (0.5, SyntheticEpisodes(seed=2, support_size=SUBJECTS - 1, tasks=3, size=SIZE))])
    batch = next(iter(batches(mixed, batch_size=4)))
    assert batch.support_images.shape == (4, SUBJECTS - 1, SIZE, SIZE, 1)
    assert batch.task.max() >= 20 > batch.task.min()
    assert len(mixed.tasks) == 23


def test_written_tasks_are_read_by_prepare(tmp_path):
    write_synthetic(tmp_path, seed=5, tasks=2, subjects=SUBJECTS, size=SIZE)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"synthetic-{task:04d}.{kind}" for task in (0, 1) for kind in ("json", "npz")
    ]
    first, second = npz.find(tmp_path)
    assert (first.name, len(first.items)) == ("synthetic-0000", SUBJECTS)
    images, classes = synthetic_images(5, 1, np.arange(SUBJECTS), size=SIZE)
    (scan,) = second.read(second.items[2])
    np.testing.assert_allclose(scan.image, 255 * images[2, ..., 0], atol=0.51)
    np.testing.assert_array_equal(scan.labels, classes[2])
    assert scan.modality == "synthetic"
    assert scan.class_names[3] == "label 3"


def test_writing_resumes_where_it_stopped(tmp_path, monkeypatch):
    drawn = []

    def stopped_at_second(seed, task, subjects, *, size):
        if task == 1 and len(drawn) == 1:
            raise KeyboardInterrupt
        drawn.append(task)
        return synthetic_images(seed, task, subjects, size=size)

    monkeypatch.setattr(synthetic, "synthetic_images", stopped_at_second)
    options = dict(seed=5, subjects=SUBJECTS, size=SIZE)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path, tasks=3, **options)
    drawn.append("again")
    write_synthetic(tmp_path, tasks=3, **options)
    assert drawn == [0, "again", 1, 2]
    before = (tmp_path / "synthetic-0000.npz").read_bytes()
    with pytest.raises(InputError, match=r"synthetic-0000.json: .*seed 6"):
        write_synthetic(tmp_path, tasks=3, **{**options, "seed": 6})
    assert (tmp_path / "synthetic-0000.npz").read_bytes() == before


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"tasks": 0}, {"subjects": 1}, {"support_size": 0}, {"size": 8}, {"seed": 2**31}]
)
def test_options_out_of_range(options):
    (name, value), *_ = options.items()
    with pytest.raises(InputError, match=f"{name}={value}"):
        SyntheticEpisodes(**{"seed": 0, **options})


def test_a_record_of_something_else_is_kept(tmp_path):
    record = tmp_path / "synthetic-0000.json"
    record.write_text("{}")
    with pytest.raises(InputError, match="another folder"):
        write_synthetic(tmp_path, seed=5, tasks=1, subjects=SUBJECTS, size=SIZE)
    assert [file.name for file in tmp_path.iterdir()] == [record.name]
    assert record.read_text() == "{}"


def test_a_share_out_of_range():
    with pytest.raises(InputError, match=r"outlined=1\.5: pass a share"):
        SyntheticEpisodes(seed=0, outlined=1.5)


def test_numbers_out_of_range(source):
    with pytest.raises(IndexError, match="-1"):
        source[-1]
