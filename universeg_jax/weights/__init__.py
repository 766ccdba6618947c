"""Weights: named sets, folders, and PyTorch's files."""

from universeg_jax.cache import cache_folder
from universeg_jax.errors import WeightsError
from universeg_jax.weights.loading import card, known_weights, load
from universeg_jax.weights.names.universeg import export_universeg, import_universeg
from universeg_jax.weights.store import save
from universeg_jax.weights.torch_io.file import load_torch, save_torch

__all__ = [
    "WeightsError",
    "cache_folder",
    "card",
    "export_universeg",
    "import_universeg",
    "known_weights",
    "load",
    "load_torch",
    "save",
    "save_torch",
]
