import shutil
from functools import partial

import numpy as np
import pytest
from flax import nnx
from PIL import Image

import universeg_jax.train.finetune
from tests.helpers.corpora import prepare_all
from tests.helpers.make_sources import nifti_pairs, npz, pictures
from tests.helpers.protosam_networks import PLAIN, TINY_VIT, dinov2, sam
from tests.helpers.random_networks import model_with_biases
from universeg_jax.data.augment import Policy
from universeg_jax.models.dinov2 import DINOv2Config
from universeg_jax.models.universeg import UniverSegConfig
from universeg_jax.train import FineTuning
from universeg_jax.weights import export_universeg, save, save_torch, shipped
from universeg_jax.weights.catalogue import RELEASES

IMAGES, NEW = 6, 2


@pytest.fixture(scope="session")
def small_networks(tmp_path_factory):
    """A folder with shipped/ and cache/: small random networks under the names of the weights of the pages."""
    folder = tmp_path_factory.mktemp("weights")
    small = model_with_biases(UniverSegConfig(encoder_features=((4, 4),) * 2, input_size=16))
    for name in shipped.NAMES:
        save(small, folder / "shipped" / name, provenance={"licence": "none"})
        (folder / "shipped" / name / "MODEL_CARD.md").write_text("# Random weights\n", encoding="utf-8")
    for release in RELEASES:
        if isinstance(release.config, UniverSegConfig):
            network = small
        else:
            network = dinov2(PLAIN) if isinstance(release.config, DINOv2Config) else sam(TINY_VIT)
        save(network, folder / "cache" / release.name, provenance={"digest": str(release.digest)})
    return folder


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """A folder with the files that the commands of the pages name."""
    folder = tmp_path_factory.mktemp("sources")
    pictures(folder / "my-task", IMAGES, values=(255,))
    pictures(folder / "lesions", IMAGES)
    pictures(folder / "new", NEW, values=(255,))
    (folder / "new" / "images").rename(folder / "new-images")
    (folder / "new" / "masks").rename(folder / "true-masks")
    nifti_pairs(folder / "scans", 5, labels={"0": "background", "1": "ball", "2": "core"})
    npz(folder / "sets" / "discs.npz", IMAGES)
    prepare_all(folder / "sets", folder / "corpus")
    save_torch(export_universeg(model_with_biases(UniverSegConfig.v1())), folder / "universeg.pt")
    return folder


@pytest.fixture
def folder(tmp_path, sources, small_networks, monkeypatch):
    """A copy of the sources to run the blocks of one page in, with small networks in place of the real weights."""
    monkeypatch.setattr(shipped, "FOLDER", small_networks / "shipped")
    monkeypatch.setenv("UNIVERSEG_JAX_CACHE", str(small_networks / "cache"))
    # Without augmentation, which takes longest to compile.
    monkeypatch.setattr(universeg_jax.train.finetune.run, "FineTuning", partial(FineTuning, policy=Policy.none()))
    copy = tmp_path / "work"
    shutil.copytree(sources, copy)
    return copy


@pytest.fixture
def names(sources):
    """Python names that the pages take for given."""

    def read(place):
        return [np.asarray(Image.open(file)) for file in sorted((sources / place).iterdir())]

    images, labels = read("my-task/images"), read("my-task/masks")
    rng = np.random.default_rng(0)
    support = rng.random((2, 1, 3, 16, 16, 1), np.float32)
    return {
        "images": images,
        "labels": labels,
        "image": images[0],
        "label": labels[0],
        "new_images": read("new-images"),
        "target": rng.random((1, 16, 16, 1), np.float32),
        "support_images": support[0],
        "support_labels": (support[1] > 0.5).astype(np.float32),
        "support_mask": np.array([[True, True, False]]),
        "rngs": nnx.Rngs(0),
    }
