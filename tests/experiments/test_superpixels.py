from experiments import superpixels
from tests.helpers.array_corpus import DiscCorpus, examples
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.data.episodes.superpixels import SuperpixelEpisodes


def test_every_episode_is_shown_with_its_outlines(monkeypatch):
    monkeypatch.setattr(superpixels, "EPISODES", 1)
    corpus = DiscCorpus({CorpusTask("discs", "image", "2d", "disc"): examples(3)})
    figure = superpixels.draw(SuperpixelEpisodes(corpus, seed=0, support_size=superpixels.SUPPORT))
    assert [axes.get_title() for axes in figure.axes[:: 1 + superpixels.SUPPORT]] == ["discs", "discs"]
    assert all(len(axes.images) == 1 for axes in figure.axes)
    assert sum(len(axes.collections) for axes in figure.axes) > superpixels.SUPPORT
