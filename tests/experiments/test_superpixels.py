from array_corpus import DiscCorpus, examples

from experiments import superpixels
from universeg_jax.tasks.superpixels import SuperpixelEpisodes
from universeg_jax.tasks.task import Task


def test_every_episode_is_shown_with_its_outlines(monkeypatch):
    monkeypatch.setattr(superpixels, "EPISODES", 1)
    corpus = DiscCorpus({Task("discs", "image", "2d", "disc"): examples(3)})
    figure = superpixels.draw(SuperpixelEpisodes(corpus, seed=0, support_size=superpixels.SUPPORT))
    assert [axes.get_title() for axes in figure.axes[:: 1 + superpixels.SUPPORT]] == ["discs", "discs"]
    assert all(len(axes.images) == 1 for axes in figure.axes)
    assert sum(len(axes.collections) for axes in figure.axes) > superpixels.SUPPORT
