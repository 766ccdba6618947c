import jax
import jax2onnx
import numpy as np
import onnxruntime
import pytest

from universeg_jax.deploy import formats
from universeg_jax.deploy.formats import INPUTS
from universeg_jax.errors import InputError


@pytest.mark.slow
@pytest.mark.parametrize("activation", [None, jax.nn.leaky_relu])
def test_onnxruntime_gives_our_logits_for_any_number_of_targets_and_entries(network, episode, activation):
    small = network(cross_activation=activation)
    session = onnxruntime.InferenceSession(formats.to_onnx(small, size=16))
    assert [given.name for given in session.get_inputs()] == list(INPUTS)
    for targets, entries in ((1, 1), (2, 3), (3, 7)):
        target, images, labels, mask = episode(targets, entries)
        expected = np.asarray(small(target, images[None], labels[None], mask[None]))
        (found,) = session.run(["logits"], dict(zip(INPUTS, (target, images, labels, mask), strict=True)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_a_wrong_translation_is_refused(network, monkeypatch):
    translate = jax2onnx.to_onnx

    def translate_wrongly(function, *args, **options):
        return translate(lambda *arrays: function(*arrays) + 0.1, *args, **options)

    monkeypatch.setattr(jax2onnx, "to_onnx", translate_wrongly)
    with pytest.raises(InputError, match=r"differ by .* does not fit"):
        formats.to_onnx(network(stages=2), size=16)
