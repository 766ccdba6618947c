import numpy as np
import pytest

from tests.helpers.painting_sam import PaintingSAM
from tests.helpers.stacks import Intensity, stack
from universeg_jax.errors import InputError
from universeg_jax.evaluate.few_shot.methods import InContextSlices
from universeg_jax.evaluate.few_shot.store import StoredEncoder, StoredMethod, store_encodings
from universeg_jax.evaluate.few_shot.support import PartOfOrgan
from universeg_jax.evaluate.metrics import dice
from universeg_jax.models.protosam.encoder import Encoded
from universeg_jax.models.protosam.pipeline import ProtoSAM

IMAGES = np.random.default_rng(0).random((3, 4, 4, 3)).astype(np.float32)


class Doubling:
    """An encoder that doubles its images, and counts them."""

    sam = "the SAM"

    def __init__(self):
        self.encoded = 0

    def __call__(self, images, *, embedding):
        assert embedding
        self.encoded += len(images)
        return Encoded(2 * images, 3 * images)


def test_every_image_is_encoded_once(tmp_path):
    encoder = Doubling()
    stored = StoredEncoder(encoder, tmp_path / "folder", capacity=10**6)
    found = stored(IMAGES, embedding=True)
    np.testing.assert_array_equal(found.features, 2 * IMAGES)
    np.testing.assert_array_equal(found.embedding, 3 * IMAGES)
    assert stored(IMAGES[::-1], embedding=False).embedding is None
    assert (encoder.encoded, stored.sam) == (3, "the SAM")
    other = Doubling()
    again = StoredEncoder(other, tmp_path / "folder", capacity=10**6)(IMAGES[:2], embedding=True)
    np.testing.assert_array_equal(again.embedding, 3 * IMAGES[:2])
    assert other.encoded == 0


def test_protosam_gives_the_same_with_stored_encodings(tmp_path):
    support, query = (stack(name, seed=seed, size=32).organ("ball") for name, seed in (("a", 1), ("b", 2)))
    stored, sam = ProtoSAM(PaintingSAM()), PaintingSAM()
    store_encodings(stored, tmp_path, capacity=10**8)
    masks = [
        InContextSlices(model, "ProtoSAM", PartOfOrgan()).segment(support, query) > 0.5
        for model in (ProtoSAM(sam), stored, stored)
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[1], masks[2])
    assert dice(masks[0], query.masks) > 0.8
    assert sum(stored.sam.encoded) <= 3 + len(query) + 1  # and what fills up a support set


def test_memory_is_bounded():
    encoder = Doubling()
    stored = StoredEncoder(encoder, None, capacity=2 * 2 * IMAGES[0].nbytes)
    stored(IMAGES, embedding=True)
    stored(IMAGES[2:], embedding=True)
    assert encoder.encoded == 3
    stored(IMAGES[:1], embedding=True)  # the oldest was dropped
    assert encoder.encoded == 4


def test_a_damaged_file_of_encodings_is_named(tmp_path):
    StoredEncoder(Doubling(), tmp_path, capacity=10**6)(IMAGES[:1], embedding=True)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"no archive")
    with pytest.raises(InputError, match=rf"{file.name}: cannot be read .* delete it"):
        StoredEncoder(Doubling(), tmp_path, capacity=10**6)(IMAGES[:1], embedding=True)


SUPPORT, QUERY = stack("a", seed=1).organ("ball"), stack("b", seed=2).organ("ball")


def test_a_second_method_reads_what_the_first_one_stored(tmp_path):
    first, second = Intensity(), Intensity()
    found = StoredMethod(first, tmp_path / "new").segment(SUPPORT, QUERY)
    again = StoredMethod(second, tmp_path / "new").segment(SUPPORT, QUERY)
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(found, first.segment(SUPPORT, QUERY))
    assert second.calls == 0


def test_other_scans_and_other_methods_are_computed(tmp_path):
    method = Intensity()
    stored = StoredMethod(method, tmp_path)
    stored.segment(SUPPORT, QUERY)
    stored.segment(QUERY, SUPPORT)
    method.identity = "intensity 2"
    stored.segment(SUPPORT, QUERY)
    assert method.calls == 3


def test_a_damaged_file_of_probabilities_is_named(tmp_path):
    stored = StoredMethod(Intensity(), tmp_path)
    stored.segment(SUPPORT, QUERY)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(InputError, match=rf"{file.name}: cannot be read .* delete it"):
        stored.segment(SUPPORT, QUERY)
