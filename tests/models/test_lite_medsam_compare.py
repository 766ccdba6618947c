"""LiteMedSAM's real weights on real images against its PyTorch code (`make_lite_medsam_golden.py`)."""

import numpy as np
import pytest

from experiments.benchmark.protosam import Ours, shipped_inputs
from tests.helpers.protosam_networks import GOLDEN

pytestmark = pytest.mark.compare  # the weights are fetched


@pytest.mark.parametrize("at_once", [1, 8])
def test_logits_and_masks_are_those_of_the_reference(at_once):
    inputs, ours = shipped_inputs(), Ours()
    logits = np.concatenate([ours.both(inputs[i : i + at_once]) for i in range(0, 8, at_once)])
    with np.load(GOLDEN / "lite_medsam.npz") as golden:
        np.testing.assert_allclose(logits[:, ::4, ::4], golden["logits"], rtol=0, atol=1e-3)
        same = np.unpackbits(golden["masks"], axis=-1) == (logits > 0)
    assert logits.max() > 5
    assert same.mean() >= 0.999
