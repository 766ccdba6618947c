"""Folders of NIfTI, NRRD or MetaImage volumes: any pairs, nnU-Net's layout, and the Medical Segmentation Decathlon.

SOURCE/imagesTr/a.nii.gz ...    or images/; with a_0000.nii.gz, a_0001.nii.gz, ... one file per channel,
                                or with the channels of a 4-D volume
SOURCE/labelsTr/a.nii.gz ...    or labels/ or masks/; values are classes
SOURCE/dataset.json             optional: names of channels and classes, licence, as in the Decathlon or nnU-Net
"""

import re
from functools import partial
from pathlib import Path

from universeg_jax.data.readers.source import AXES, Item, Scan, Source, pair_up, read_dataset_json, volume_scan
from universeg_jax.errors import InputError
from universeg_jax.io.pairing import pair_names
from universeg_jax.io.volume_files import list_volume_files, read_channels
from universeg_jax.io.volumes import Volume

DECATHLON = (
    "Task01_BrainTumour",
    "Task02_Heart",
    "Task03_Liver",
    "Task04_Hippocampus",
    "Task05_Prostate",
    "Task06_Lung",
    "Task07_Pancreas",
    "Task08_HepaticVessel",
    "Task09_Spleen",
    "Task10_Colon",
)
IMAGE_FOLDERS, MASK_FOLDERS = ("imagesTr", "images"), ("labelsTr", "labels", "masks")


def matches(folder: Path) -> bool:
    """Tell whether volumes lie in one of the image folders, here or in Decathlon's Task folders."""
    return any(list_volume_files(place / name) for place in _places(folder) for name in IMAGE_FOLDERS)


def find(folder: Path, modality: str | None = None) -> list[Source]:
    """Find the dataset of a folder, or one per Decathlon task in it.

    Raises:
        InputError: no masks, a dataset.json that cannot be read, or an unknown modality.
    """
    return [_find_one(place, modality) for place in _places(folder)]


def _places(folder: Path) -> list[Path]:
    return sorted(place for place in folder.glob("Task[0-9][0-9]_*") if place.is_dir()) or [folder]


def _find_one(folder: Path, modality: str | None) -> Source:
    images = next((found for name in IMAGE_FOLDERS if (found := list_volume_files(folder / name))), {})
    masks = next((found for name in MASK_FOLDERS if (found := list_volume_files(folder / name))), {})
    if not images or not masks:
        raise InputError(f"{folder}: needs NIfTI volumes in imagesTr/ (or images/) and in labelsTr/ (labels/, masks/)")
    about = read_dataset_json(folder / "dataset.json")
    channels = (modality,) if modality else about.channels
    if not channels:
        raise InputError(
            f"{folder}: the modality of these volumes is unknown, and their intensities depend on it: "
            "pass --modality CT, or MR"
        )
    decathlon = folder.name in DECATHLON
    return Source(
        f"decathlon_{folder.name.lower()}" if decathlon else folder.resolve().name,
        "decathlon" if decathlon else "nifti",
        folder,
        pair_up(*_paired(folder, images, masks)),
        partial(read_pair, channels=channels, class_names=about.class_names),
        subjects_known=decathlon,  # elsewhere a patient may have several volumes: pass --subject-pattern
        regions=about.regions,
        ignore=about.ignore,
        origin="http://medicaldecathlon.com" if decathlon else about.origin,
        version=about.version,
        licence=about.licence or ("CC BY-SA 4.0" if decathlon else ""),
    )


def read_pair(
    item: Item, *, channels: tuple[str, ...], class_names: dict[int, str], axes: tuple[str, ...] = AXES
) -> list[Scan]:
    """Read the channels of a volume (one file each, or one 4-D file) and its mask: one scan per channel."""
    *image_files, mask_file = item.files
    mask = read_channels(mask_file)
    volumes = [channel for file in image_files for channel in _channels(read_channels(file))]
    if len(volumes) != len(channels):
        raise InputError(f"{image_files[0]}: has {len(volumes)} channels, not {len(channels)} ({', '.join(channels)})")
    return [
        volume_scan(volume, mask, class_names, channel, axes=axes)
        for volume, channel in zip(volumes, channels, strict=True)
    ]


def _channels(volume: Volume) -> list[Volume]:
    return [volume.channel(c) for c in range(volume.voxels.shape[3] if volume.voxels.ndim == 4 else 1)]


def _paired(
    folder: Path, images: dict[str, Path], masks: dict[str, Path]
) -> tuple[dict[str, tuple[Path, ...]], dict[str, Path]]:
    """Name images and masks alike: by equal names and channels, or else by `pair_names`."""
    grouped = _by_channel(images, masks)
    if grouped.keys() & masks.keys():
        return grouped, masks
    try:
        pairs = pair_names(images, masks)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    unpaired = {name: file for name, file in masks.items() if name not in pairs.values()}
    return grouped, {image: masks[mask] for image, mask in pairs.items()} | unpaired


def _by_channel(images: dict[str, Path], masks: dict[str, Path]) -> dict[str, tuple[Path, ...]]:
    """Group the files of each image: a_0000 and a_0001 are two channels of a, if there is a mask called a."""
    grouped: dict[str, tuple[Path, ...]] = {}
    for name, file in images.items():
        stem = re.sub(r"_\d{4}$", "", name)
        owner = stem if name not in masks and stem in masks else name
        grouped[owner] = (*grouped.get(owner, ()), file)
    return grouped
