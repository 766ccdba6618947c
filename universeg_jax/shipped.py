"""The weights that come with this package. (Without imports of JAX, for the command line.)"""

from pathlib import Path

FOLDER = Path(__file__).parent / "assets" / "weights"
"""A folder of `weights.store.save` with its MODEL_CARD.md for each."""

NAMES = ("open-v4", "open-v3", "open-v2", "open-v1", "open-v0")

DEFAULT = "open-v4"
"""What is used where no weights are chosen."""
