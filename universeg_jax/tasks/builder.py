"""Storing a dataset with tensorflow-datasets, in array_record, without TensorFlow."""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from universeg_jax.tasks.source import Item
from universeg_jax.tasks.staging import staged_slices
from universeg_jax.tasks.workers import Beam, Processes

VERSION = "1.0.0"


@dataclass(frozen=True)
class StagedItem:
    """An item, and the file where its outcome lies."""

    item: Item
    outcome: Path


class CorpusBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One dataset at one resolution, from its staged items.

    Args:
        name, folder: stored is `folder`/`name`/`resolution`/`VERSION`.
        classes: value and name of all classes, in the order of the label maps.
        splits: the items of every split; empty splits are left out.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        resolution: int,
        classes: tuple[tuple[int, str], ...],
        splits: Mapping[str, Sequence[StagedItem]],
    ):
        self.name = name
        self.resolution, self.classes, self.splits = resolution, classes, splits
        config = tfds.core.BuilderConfig(name=str(resolution), version=VERSION)
        with _quiet():
            super().__init__(data_dir=folder, config=config, file_format="array_record")

    def store(self, workers: Processes | Beam) -> None:
        """Write the dataset: in this process, or on Beam as one pipeline."""
        self._workers = workers
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        if isinstance(workers, Beam):
            config = config.replace(beam_runner=workers.runner, beam_options=workers.pipeline_options())
        with _quiet():
            self.download_and_prepare(download_config=config)

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.resolution
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(size, size, 1), dtype=np.uint8, encoding="zlib"),
                "labels": tfds.features.Tensor(shape=(size, size, len(self.classes)), dtype=np.uint8, encoding="zlib"),
                "shown": tfds.features.Tensor(shape=(len(self.classes),), dtype=np.bool_),
                "axis": tfds.features.Text(),
                "modality": tfds.features.Text(),
                "name": tfds.features.Text(),
                "subject": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager) -> dict:
        return {split: self._generate_examples(items) for split, items in self.splits.items() if items}

    def _generate_examples(self, items: Sequence[StagedItem]):
        examples = partial(_examples, resolution=self.resolution, classes=self.classes)
        if isinstance(self._workers, Beam):
            return self._workers.flat_map(examples, items)
        return (example for item in items for example in examples(item))


def _examples(staged: StagedItem, *, resolution: int, classes: tuple[tuple[int, str], ...]) -> Iterator[tuple]:
    item = staged.item
    for i, example in enumerate(staged_slices(staged.outcome, resolution, classes)):
        yield f"{item.name}/{i}", {**example, "name": item.name, "subject": item.subject}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TFDS prints of downloads and shows a bar per split; neither says anything here."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()
