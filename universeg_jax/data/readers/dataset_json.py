"""Read the dataset.json of nnU-Net and of the Medical Segmentation Decathlon."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_name, is_number
from universeg_jax.util.json_files import read_json

TABLES = ("labels", "modality", "channel_names")
IGNORE = "ignore"  # nnU-Net's name of pixels that were not annotated
BACKGROUND = "background"


@dataclass(frozen=True)
class DatasetJson:
    """Contents of a dataset.json; everything is empty without one.

    Attributes:
        channels: names of the channels, such as "CT" or "MR", in their order.
        class_names: names of class values.
        regions: for nnU-Net's region labels, the mask values of each class value. Regions may overlap.
        ignore: mask value of pixels that were not annotated; None without it.
        licence, origin, version: as stated.
    """

    channels: tuple[str, ...] = ()
    class_names: dict[int, str] = field(default_factory=dict)
    regions: dict[int, tuple[int, ...]] = field(default_factory=dict)
    ignore: int | None = None
    licence: str = ""
    origin: str = ""
    version: str = ""


def read_dataset_json(file: Path) -> DatasetJson:
    """Read a dataset.json, if there is one.

    Raises:
        InputError: a file that cannot be read, or with labels or channels of unknown form.
    """
    if not os.path.lexists(file):
        return DatasetJson()
    about = read_json(file)
    if not isinstance(about, dict) or not all(isinstance(about.get(name, {}), dict) for name in TABLES):
        raise InputError(f"{file}: must be a table whose {', '.join(TABLES)} are tables")
    for name in TABLES[1:]:
        if not all(is_number(key) for key in about.get(name, {})):
            raise InputError(f'{file}: {name} must number the channels, as in {{"0": "CT"}}; it is {about[name]}')
    members = {name: values for name, values in _members(file, about.get("labels", {})).items() if values != (0,)}
    ignored = members.pop(IGNORE, (None,))[0]
    regions = any(len(values) > 1 for values in members.values())
    return DatasetJson(
        _named(about.get("channel_names", about.get("modality")) or {}),
        {i if regions else values[0]: name for i, (name, values) in enumerate(members.items(), start=1)},
        dict(enumerate(members.values(), start=1)) if regions else {},
        ignored,
        str(about.get("licence", about.get("license", ""))),
        str(about.get("reference", "")),
        str(about.get("release", "")),
    )


def _members(file: Path, labels: dict) -> dict[str, tuple[int, ...]]:
    """Mask values of each name. The Decathlon writes {"1": "liver"}, nnU-Net {"liver": 1} or {"whole": [1, 2]}."""
    decathlon = all(isinstance(name, str) and is_number(value) for value, name in labels.items())
    pairs = [(name, value) for value, name in labels.items()] if decathlon else list(labels.items())
    members = {}
    for name, given in pairs:
        values = given if isinstance(given, list) else [given]
        if not values or not all(isinstance(v, int) or is_number(v) for v in values):
            raise InputError(f"{file}: the label {name!r} must be a number or a list of numbers; it is {given!r}")
        members[check_name(name, str(file))] = tuple(sorted({int(value) for value in values}))
    return members


def _named(channels: dict) -> tuple[str, ...]:
    names = [str(name) for _, name in sorted(channels.items(), key=lambda entry: int(entry[0]))]
    return tuple("MR" if name == "MRI" else name for name in names)
