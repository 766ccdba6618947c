"""Weights: named sets, folders, and PyTorch's files."""

from typing import TYPE_CHECKING

from universeg_jax.util.imports import lazy_names

# Editors and type checkers read the first branch, Python the second. A test compares them.
if TYPE_CHECKING:
    from universeg_jax.cache import cache_folder as cache_folder
    from universeg_jax.errors import WeightsError as WeightsError
    from universeg_jax.weights.loading import card as card
    from universeg_jax.weights.loading import known_weights as known_weights
    from universeg_jax.weights.loading import load as load
    from universeg_jax.weights.names.universeg import export_universeg as export_universeg
    from universeg_jax.weights.names.universeg import import_universeg as import_universeg
    from universeg_jax.weights.store import save as save
    from universeg_jax.weights.torch_io.file import load_torch as load_torch
    from universeg_jax.weights.torch_io.file import save_torch as save_torch
else:
    from universeg_jax.cache import cache_folder
    from universeg_jax.errors import WeightsError

    __all__, __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "loading": ("card", "known_weights", "load"),
            "names.universeg": ("export_universeg", "import_universeg"),
            "store": ("save",),
            "torch_io.file": ("load_torch", "save_torch"),
        },
    )
    __all__ += ["WeightsError", "cache_folder"]
