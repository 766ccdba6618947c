"""Make golden_protosam/alp_training.npz: losses and gradients of alp_by_torch.py.

pip install torch==2.13.0
python -m tests.helpers.make_alp_golden
"""

import numpy as np
import torch

from tests.helpers.alp_by_torch import losses
from tests.helpers.alp_cases import CASES, GOLDEN, episode


def golden() -> dict[str, np.ndarray]:
    """Losses, and gradients of their sum in the features of support and query, of every case."""
    found = {}
    for case in CASES:
        arrays = episode(case)
        support, query = (
            torch.tensor(arrays[name].transpose(2, 0, 1), dtype=torch.float64, requires_grad=True)
            for name in ("support", "query")
        )
        masks = (torch.tensor(arrays[name], dtype=torch.float64) for name in ("support_label", "query_label"))
        loss, aligned = losses(support, query, *masks)
        (loss + aligned).backward()
        found[f"{case}/losses"] = np.array([loss.item(), aligned.item()])
        for name, tensor in (("support", support), ("query", query)):
            found[f"{case}/{name}"] = tensor.grad.numpy().transpose(1, 2, 0)
    return found


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden())
