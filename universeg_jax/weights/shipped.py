"""Names of the weights that come with this package. The command line imports it, so it does not import JAX."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "assets" / "weights"
"""Folder with a folder of weights (`weights.store.save`) and its MODEL_CARD.md for each name."""

NAMES = ("open-v4",)

DEFAULT = "open-v4"
"""Name of the weights that are used by default."""

EARLIER = ("open-v3", "open-v2", "open-v1", "open-v0")
"""Names of weights that came with the package before version 0.2."""

EARLIER_COMMIT = "62357fe"
"""Commit of this repository that holds them."""


def where_earlier(name: str) -> str:
    """Say how to get weights of an earlier version."""
    folder = f"universeg_jax/assets/weights/{name}"
    return (
        f"{name} is no longer shipped. A clone of the repository has it: "
        f"git archive {EARLIER_COMMIT} {folder} | tar -x -C .., then pass the folder ../{folder}"
    )
