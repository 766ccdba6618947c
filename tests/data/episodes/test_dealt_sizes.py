from itertools import islice

import jax
import numpy as np
import pytest

from tests.helpers.array_corpus import small_corpus
from universeg_jax.data.episodes.dealt_sizes import DealtSizes
from universeg_jax.data.episodes.draw import Episodes
from universeg_jax.data.episodes.stream import batches
from universeg_jax.errors import InputError

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
