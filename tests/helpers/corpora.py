"""Prepare and compare corpora in tests."""

from pathlib import Path

import numpy as np

from universeg_jax.data.corpus.prepare import Prepared, prepare
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.data.corpus.workers import Processes
from universeg_jax.data.readers.detect import find_sources


def prepare_all(source: Path, corpus: Path, *, stop: bool = False, **options) -> list[Prepared]:
    """Prepare all datasets of a folder in this process."""
    with Processes() as workers:
        return [
            prepare(found, corpus, workers=workers, stop=stop, quiet=True) for found in find_sources(source, **options)
        ]


def assert_same(one: Path, other: Path) -> None:
    """Check that two corpora have the same images in the same order, and the same descriptions."""
    for resolution in (64, 128, 256):
        first, second = Corpus(one, resolution=resolution), Corpus(other, resolution=resolution)
        assert first.about == second.about
        assert first.tasks == second.tasks
        for task in first.tasks:
            assert first.examples(task) == second.examples(task)
        for dataset in first.datasets:
            for a, b in zip(first.source(dataset), second.source(dataset), strict=True):
                assert a.keys() == b.keys()
                for key in a:
                    np.testing.assert_array_equal(a[key], b[key])
