import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.array_corpus import DiscCorpus, examples
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.episodes.stream import Mixture, batches
from universeg_jax.data.episodes.superpixels import SuperpixelEpisodes, copies, draw_superpixel
from universeg_jax.errors import InputError

SIZE = DiscCorpus.SIZE
ROWS, COLUMNS = np.indices((SIZE, SIZE))


@pytest.fixture(scope="module")
def corpus():
    names = ["brain/MR/axial/1", "heart/CT/axial/1", "heart/MR/axial/2"]
    return DiscCorpus({CorpusTask(*name.split("/")): examples(3, 1, 1) for name in names})


@pytest.fixture(scope="module")
def source(corpus):
    return SuperpixelEpisodes(corpus, seed=1, support_size=4)


def test_superpixels_are_regions_of_the_image(corpus):
    image, _ = corpus.read(corpus.tasks[0], 0)
    disc = np.hypot(ROWS - 18, COLUMNS - 20) < 10
    square = (abs(ROWS - 46) < 7) & (abs(COLUMNS - 30) < 7)
    generator, found = np.random.default_rng(0), []
    for _ in range(30):
        label = draw_superpixel(generator, image, minimum_area=0.005)
        assert set(np.unique(label)) == {0.0, 1.0}
        assert 0.005 <= label.mean() <= 0.5
        overlap = [2 * (label[..., 0] * shape).sum() / (label.sum() + shape.sum()) for shape in (disc, square)]
        found.append(int(np.argmax(overlap)) if max(overlap) > 0.9 else None)
    assert {0, 1} <= set(found)
    assert found.count(0) > found.count(1)  # it is larger


@pytest.mark.parametrize("image", [np.zeros((SIZE, SIZE, 1), np.float32), np.ones((SIZE, SIZE, 1), np.float32)])
def test_an_image_without_regions_is_one(image):
    assert draw_superpixel(np.random.default_rng(0), image, minimum_area=0.005).all()


def test_copies_differ_and_keep_image_and_label_together():
    disc = (np.hypot(ROWS - 32, COLUMNS - 32) < 10).astype(np.float32)[..., None]
    images, labels = map(np.asarray, copies(3, 0.2 + 0.6 * disc, disc, number=8))
    assert images.shape == labels.shape == (8, SIZE, SIZE, 1)
    assert min(images.min(), labels.min()) >= 0
    assert max(images.max(), labels.max()) <= 1
    assert len({label.tobytes() for label in labels}) == 8
    for image, label in zip(images, labels, strict=True):
        inside, outside = image[label > 0.9], image[(label < 0.1) & (image > 0)]
        assert np.median(inside) > np.percentile(outside, 90)
    centres = np.array([[(ROWS * m).sum() / m.sum(), (COLUMNS * m).sum() / m.sum()] for m in labels[..., 0]])
    assert centres.std(axis=0).min() > 1
    np.testing.assert_array_equal(copies(3, 0.2 + 0.6 * disc, disc, number=8)[0], images)
    assert jnp.any(copies(4, 0.2 + 0.6 * disc, disc, number=8)[0] != images)


def test_episodes(source, corpus):
    assert [task.name for task in source.tasks] == ["brain/image/2d/superpixel", "heart/image/2d/superpixel"]
    seen = set()
    for number in range(12):
        episode = source[number]
        assert episode.target.shape == episode.target_label.shape == (SIZE, SIZE, 1)
        assert episode.support_images.shape == episode.support_labels.shape == (4, SIZE, SIZE, 1)
        assert episode.support_mask.all()
        assert episode.number == number
        assert episode.target_label.any()
        assert not (episode.support_images == episode.target).all(axis=(1, 2, 3)).any()
        seen.add(int(episode.task))
    assert seen == {0, 1}
    again = SuperpixelEpisodes(corpus, seed=1, support_size=4)
    for number in (7, 3):
        for a, b in zip(source[number], again[number], strict=True):
            np.testing.assert_array_equal(a, b)
    assert (source[3].target != source[7].target).any()


def test_episodes_mix_with_others(source, corpus):
    mixed = Mixture([(0.5, source), (0.5, SuperpixelEpisodes(corpus, seed=2, support_size=4))])
    assert next(iter(batches(mixed, batch_size=4))).support_images.shape == (4, 4, SIZE, SIZE, 1)


def test_a_target_shows_its_superpixel(corpus, monkeypatch):
    def shifted_away(seed, image, label, *, number):
        labels = np.stack([label] * number)
        labels[:2] = 0
        return np.stack([image * i / number for i in range(number)]), labels

    monkeypatch.setattr("universeg_jax.data.episodes.superpixels.copies", shifted_away)
    episode = SuperpixelEpisodes(corpus, seed=0, support_size=4)[0]
    assert episode.target_label.any()
    assert episode.support_labels.any(axis=(1, 2, 3)).tolist() == [False, False, True, True]
    assert (episode.support_images != episode.target).any(axis=(1, 2, 3)).all()


def test_only_images_of_the_split_and_of_the_tasks(corpus):
    read = []

    class Watched(DiscCorpus):
        def read(self, task, image):
            read.append((task.dataset, image))
            return super().read(task, image)

    watched = Watched({task: corpus.examples(task) for task in corpus.tasks})
    source = SuperpixelEpisodes(watched, seed=0, support_size=1, split="train", tasks=corpus.tasks[:1])
    for number in range(12):
        source[number]
    assert set(read) == {("brain", image) for image in range(3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"support_size": 0}, "support_size=0: pass 1 to"),
        ({"minimum_area": 0.5}, "minimum_area=0.5: pass a fraction"),
        ({"held_out": ("heart",)}, "heart: held out"),
        ({"split": "somewhere"}, "split='somewhere': none of 3 tasks has an image there"),
    ],
)
def test_options_out_of_range_are_refused(corpus, options, message):
    with pytest.raises(InputError, match=message):
        SuperpixelEpisodes(corpus, seed=0, **options)


def test_numbers_out_of_range_are_refused(source):
    with pytest.raises(IndexError, match="numbered from 0"):
        source[-1]
