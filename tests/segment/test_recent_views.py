"""Views that a segmenter keeps, and images that are encoded ahead."""

import numpy as np

from tests.helpers.painting_sam import PaintingSAM
from tests.helpers.stand_in import bright_disc
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.segment.preprocess import View
from universeg_jax.segment.segmenter import RecentViews, Segmenter, encode_ahead, keep_encodings

OPTIONS = {"size": 16, "channels": 3, "window": None, "padding": "edge"}


def test_an_image_is_prepared_once_under_any_name(monkeypatch):
    recent, image = RecentViews(), bright_disc(0)[0]
    first = recent.of(image, "a", **OPTIONS)
    np.testing.assert_array_equal(first.pixels, View.of(image, "a", **OPTIONS).pixels)
    made = []
    monkeypatch.setattr(View, "of", lambda image, name, **options: made.append(name) or first)
    again = recent.of(image.copy(), "b", **OPTIONS)
    assert again.pixels is first.pixels
    assert (first.name, again.name, made) == ("a", "b", [])
    recent.of(image, "c", **{**OPTIONS, "window": (0, 255)})
    recent.of(image.astype(np.int32), "d", **OPTIONS)
    recent.of(image.reshape(24, 20), "e", **OPTIONS)
    assert made == ["c", "d", "e"]


def test_it_forgets_what_was_used_longest_ago(monkeypatch):
    images = [bright_disc(seed)[0] for seed in range(3)]
    recent = RecentViews(capacity=2 * 16 * 16 * 3 * 4)
    kept = [recent.of(image, "a", **OPTIONS).pixels for image in images]
    assert recent.of(images[2], "a", **OPTIONS).pixels is kept[2]
    assert recent.of(images[1], "a", **OPTIONS).pixels is kept[1]
    assert recent.of(images[0], "a", **OPTIONS).pixels is not kept[0]


def test_an_image_that_was_encoded_ahead_is_not_encoded_again():
    (images, labels), sam = zip(*map(bright_disc, range(3)), strict=True), PaintingSAM()
    segmenter = Segmenter(ProtoSAM(sam))
    keep_encodings(segmenter, 2**40)
    assert segmenter.model.encoder.cache.capacity == 2**40
    for image in images:
        encode_ahead(segmenter, image)
    encode_ahead(segmenter, np.full((20, 24), 7, np.uint8))  # constant, needs no encoding
    assert sum(sam.encoded) == 3
    segmenter.fit(images[:2], labels[:2]).predict(list(images))
    assert sum(sam.encoded) == 3
