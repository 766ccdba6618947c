"""Matching images with their masks by name."""

from collections.abc import Mapping
from pathlib import Path

from universeg_jax.data.readers.source import Item


def pair_up(images: Mapping[str, tuple[Path, ...]], masks: Mapping[str, Path]) -> tuple[Item, ...]:
    """One item per name, sorted; its files are those of the image, then the mask.

    What lacks the other half becomes an item with a problem, to be reported like a broken file.
    """
    items = []
    for name in sorted(images.keys() | masks.keys()):
        if name not in masks:
            items.append(Item(name, name, images[name], problem=f"{images[name][0]}: there is no mask of this name"))
        elif name not in images:
            items.append(Item(name, name, (masks[name],), problem=f"{masks[name]}: there is no image of this name"))
        else:
            items.append(Item(name, name, (*images[name], masks[name])))
    return tuple(items)
