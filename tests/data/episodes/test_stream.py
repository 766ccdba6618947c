import contextlib
import json
from itertools import islice

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.array_corpus import ArrayCorpus, examples, small_corpus
from tests.helpers.corpora import prepare_all
from tests.helpers.make_sources import npz
from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.data.episodes.draw import NUMBER, Episode, Episodes
from universeg_jax.data.episodes.stream import DealtSizes, Mixture, batches
from universeg_jax.errors import InputError


def source(seed=0, **options):
    return Episodes(small_corpus(), seed=seed, **({"support_size": (1, 3)} | options))


def numbers(stream, count):
    return [batch.number.tolist() for batch in islice(stream, count)]


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_batch_is_episodes_stacked():
    episodes = source()
    batch = list(islice(batches(episodes, batch_size=3), 2))[1]
    assert isinstance(batch, Episode)
    assert_same(batch, jax.tree.map(lambda *leaves: np.stack(leaves), *(episodes[i] for i in (3, 4, 5))))
    assert len({episodes.tasks[i].dataset for i in batch.task}) == 3


def test_a_batch_goes_through_jit():
    batch = next(batches(source(), batch_size=2))
    mean = jax.jit(lambda b: (b.support_images.mean((2, 3, 4)) * b.support_mask).sum())(batch)
    assert mean == pytest.approx(float((batch.support_images[:, :, 0, 0, 0] * batch.support_mask).sum()), rel=1e-5)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 5))
def test_hosts_share_the_stream_of_one_host(hosts, each, start):
    options = {"batch_size": hosts * each, "start": start}
    whole = numbers(batches(source(), **options), 3)
    shares = [numbers(batches(source(), host=host, hosts=hosts, **options), 3) for host in range(hosts)]
    assert whole[0][0] == start * hosts * each
    for i in range(3):
        assert all(len(share[i]) == each for share in shares)
        assert sorted(number for share in shares for number in share[i]) == whole[i]


def test_a_restored_state_resumes_exactly():
    iterator = batches(source(), batch_size=2)
    next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    after = list(islice(iterator, 3))
    other = batches(source(), batch_size=2, start=7)
    assert next(other).number.tolist() == [14, 15]
    other.set_state(state)
    assert after[0].number.tolist() == [2, 3]
    for one, two in zip(after, islice(other, 3), strict=True):
        assert_same(one, two)


def test_a_state_fits_other_hosts_and_batches():
    iterator = batches(source(), batch_size=4, host=1, hosts=2, start=3)
    next(iterator)
    other = batches(source(), batch_size=6, host=0, hosts=3)
    other.set_state(iterator.get_state())
    assert next(other).number.tolist() == [16, 19]


def test_the_state_is_saved_and_restored_with_orbax(tmp_path):
    iterator = batches(source(), batch_size=2)
    list(islice(iterator, 3))
    with ocp.CheckpointManager(tmp_path) as manager:
        state = {"weight": np.arange(3.0)}
        args = {"state": ocp.args.StandardSave(state), "episodes": grain.checkpoint.CheckpointSave(iterator)}
        manager.save(3, args=ocp.args.Composite(**args))
    expected = next(iterator)
    restored = batches(source(), batch_size=2)
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.restore(3, args=ocp.args.Composite(episodes=grain.checkpoint.CheckpointRestore(restored)))
    assert_same(next(restored), expected)
    assert expected.number.tolist() == [6, 7]


@pytest.mark.slow
def test_workers_give_the_same_stream(tmp_path):
    npz(tmp_path / "disks.npz", 10)
    prepare_all(tmp_path / "disks.npz", tmp_path / "corpus")
    episodes = Episodes(Corpus(tmp_path / "corpus", resolution=64), seed=0, support_size=(1, 3))
    expected = list(islice(batches(episodes, batch_size=2), 4))
    with contextlib.closing(batches(episodes, batch_size=2, workers=2)) as iterator:
        first = [next(iterator) for _ in range(2)]
        state = json.loads(json.dumps(iterator.get_state()))
    with contextlib.closing(batches(episodes, batch_size=2, workers=1)) as iterator:
        iterator.set_state(state)
        second = [next(iterator) for _ in range(2)]
    for one, two in zip(first + second, expected, strict=True):
        assert_same(one, two)


def test_a_mixture_keeps_its_shares():
    real, synthetic = source(0), source(1, tasks=small_corpus().tasks[:2])
    mixture = Mixture([(0.75, real), (0.25, synthetic)])
    episodes = [mixture[number] for number in range(40)]
    assert mixture.tasks == real.tasks + synthetic.tasks
    assert len(mixture) == NUMBER
    assert [episode.number for episode in episodes] == list(range(40))
    is_synthetic = [episode.task >= len(real.tasks) for episode in episodes]
    assert {sum(is_synthetic[i : i + 4]) for i in range(0, 40, 4)} == {1}
    for flag, part, before in ((False, real, 0), (True, synthetic, len(real.tasks))):
        own = [episode for episode, of_it in zip(episodes, is_synthetic, strict=True) if of_it == flag]
        for i, episode in enumerate(own):
            assert_same(episode._replace(task=episode.task - before, number=np.int32(i)), part[i])


def test_mixtures_are_streamed_by_hosts():
    mixture = Mixture([(2, source(0)), (1, source(1)), (1, Mixture([(1, source(2)), (1, source(3))]))])
    whole = list(islice(batches(mixture, batch_size=4), 3))
    shares = [list(islice(batches(mixture, batch_size=4, host=host, hosts=2), 3)) for host in (0, 1)]
    for i, batch in enumerate(whole):
        for host in (0, 1):
            assert_same(shares[host][i], jax.tree.map(lambda leaf, host=host: leaf[host::2], batch))


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(InputError, match=r"\(3, 4, 4, 1\) and \(5, 4, 4, 1\)"):
        Mixture([(1, source()), (1, source(support_size=5))])
    for parts in ([], [(1, source()), (0, source())]):
        with pytest.raises(InputError, match="weights of a mixture"):
            Mixture(parts)
    with pytest.raises(IndexError, match="not -1"):
        Mixture([(1, source())])[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0: pass a multiple of the number of hosts, 1"),
        ({"batch_size": 6, "hosts": 4}, "batch_size=6: pass a multiple of the number of hosts, 4"),
        ({"batch_size": 2, "hosts": 2, "host": 2}, "host=2: pass 0 to 1 for 2 hosts"),
        ({"batch_size": 2, "workers": -1}, "workers=-1"),
        ({"batch_size": 2, "start": NUMBER // 2}, f"start={NUMBER // 2}"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        batches(source(), **options)


def test_the_corpus_may_be_of_one_task():
    corpus = ArrayCorpus({CorpusTask("organs", "CT", "axial", "liver"): examples(2)})
    batch = next(batches(Episodes(corpus, seed=0, support_size=2), batch_size=4))
    assert batch.task.tolist() == [0, 0, 0, 0]


DECK = (1, 1, 3, 4)
SOURCES = {size: Episodes(small_corpus(), seed=0, support_size=size) for size in (1, 3, 4)}


def dealt(seed=0, batch_size=4):
    return DealtSizes(SOURCES, DECK, batch_size=batch_size, seed=seed)


def sizes(source, rounds=8, **options):
    stream = batches(source, batch_size=4, **options)
    return [batch.support_mask.shape[1] for batch in islice(stream, rounds * len(DECK))]


def test_every_round_deals_the_whole_deck():
    found = np.reshape(sizes(dealt()), (-1, len(DECK)))
    assert (np.sort(found) == DECK).all()
    assert len({*map(tuple, found)}) > 1  # in another order


def test_a_batch_has_one_size_and_no_padding():
    source = dealt(batch_size=2)
    assert len(source) == len(SOURCES[1])
    for batch in islice(batches(source, batch_size=2), 8):
        assert batch.support_mask.all()
        of_size = SOURCES[batch.support_mask.shape[1]]
        jax.tree.map(
            np.testing.assert_array_equal,
            batch,
            jax.tree.map(lambda *leaves: np.stack(leaves), *(of_size[number] for number in batch.number)),
        )


def test_the_seed_decides_the_order():
    assert sizes(dealt()) == sizes(dealt())
    assert sizes(dealt()) != sizes(dealt(seed=1))
    assert sizes(dealt(), rounds=4, start=5) == sizes(dealt())[5:21]


def test_all_hosts_see_the_same_size():
    whole = sizes(dealt())
    for hosts in (2, 4):
        assert all(sizes(dealt(), host=host, hosts=hosts) == whole for host in range(hosts))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"deck": ()}, r"deck=\(\): pass one or more of the sizes of the sources, \[1, 3, 4\]"),
        ({"deck": (1, 2)}, r"deck=\(1, 2\): pass one or more of the sizes"),
        ({"batch_size": 0}, "batch_size=0"),
        (
            {"sources": SOURCES | {4: Episodes(small_corpus(), seed=0, support_size=4, tasks=SOURCES[1].tasks[:2])}},
            "sources: differ in their tasks",
        ),
    ],
)
def test_what_cannot_be_dealt_is_refused(changed, message):
    with pytest.raises(InputError, match=message):
        DealtSizes(**dict(sources=SOURCES, deck=DECK, batch_size=4, seed=0) | changed)


def test_episodes_out_of_range():
    with pytest.raises(IndexError, match="not -1"):
        dealt()[-1]
