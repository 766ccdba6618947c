"""The two sides of the comparison: our network and the official one, with the same weights, on the same arrays."""

import importlib
import os
import sys
from collections.abc import Callable

import numpy as np

SEED = 0


def episode(targets: int, entries: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make random targets (B,H,W,1) of one task, and its support images and labels (1,S,H,W,1)."""
    rng = np.random.default_rng(SEED)
    target = rng.random((targets, size, size, 1), np.float32)
    images = rng.random((1, entries, size, size, 1), np.float32)
    labels = (rng.random((1, entries, size, size, 1)) > 0.5).astype(np.float32)
    return target, images, labels


def ours(target: np.ndarray, images: np.ndarray, labels: np.ndarray) -> Callable[[], np.ndarray]:
    """Make a function that segments the targets with random weights."""
    import jax.numpy as jnp

    import universeg_jax as uj

    model = uj.universeg()
    arrays = [jnp.asarray(x) for x in (target, images, labels)]
    return lambda: np.asarray(model(*arrays))


def official(
    target: np.ndarray, images: np.ndarray, labels: np.ndarray, *, threads: int, compiled: bool = False
) -> Callable[[], np.ndarray]:
    """Make the same function with the official code: inference mode, one target at a time.

    The official code shares no support between targets: a batch would need a multiple of the memory for the same work.

    Args:
        threads: threads of PyTorch.
        compiled: pass the model through `torch.compile` instead of running it eagerly.
    """
    import torch

    torch.set_num_threads(threads)
    model = torch.compile(load_official()) if compiled else load_official()
    target, images, labels = (torch.from_numpy(np.moveaxis(x, -1, -3).copy()) for x in (target, images, labels))

    def run() -> np.ndarray:
        with torch.inference_mode():
            logits = [model(one[None], images, labels) for one in target]
        return np.moveaxis(torch.cat(logits).numpy(), -3, -1)

    return run


def load_official():
    """Load the official PyTorch model with the same random weights."""
    import torch

    import universeg_jax as uj

    model = importlib.import_module("universeg").universeg(version="v1")
    exported = uj.weights.export_universeg(uj.universeg())
    model.load_state_dict({name: torch.from_numpy(value) for name, value in exported.items()}, strict=True)
    return model.eval()


def official_is_here() -> bool:
    """Tell whether the official repository, github.com/JJGO/UniverSeg, and PyTorch can be imported."""
    try:
        import torch  # noqa: F401

        importlib.import_module("universeg")
    except ImportError:
        return False
    return True


def processors() -> int:
    """Count the cores of this process; both sides use all of them."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
