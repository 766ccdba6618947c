"""Episodes of features for the losses of ALPNet: a structure that fills a block, and one too thin for it."""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden_protosam" / "alp_training.npz"
CASES = ("thick", "thin")


def episode(case: str) -> dict[str, np.ndarray]:
    """Features (16,16,6) of support and query, and their masks (48,48)."""
    rng = np.random.default_rng(CASES.index(case))
    height = {"thick": 24, "thin": 3}[case]
    masks = np.zeros((2, 48, 48), np.float32)
    masks[0, 8 : 8 + height, 10:34] = 1
    masks[1, 14 : 14 + height, 6:30] = 1
    signal = rng.normal(size=(2, 6))
    features = rng.normal(0, 0.6, (2, 16, 16, 6))
    features += np.where(masks[:, ::3, ::3, None] > 0, signal[0], signal[1])
    support, query = features.astype(np.float32)
    return {"support": support, "query": query, "support_label": masks[0], "query_label": masks[1]}
