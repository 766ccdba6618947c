"""Recognise annotations that are not read: LabelMe and COCO. Errors name the command that converts them."""

from itertools import islice
from pathlib import Path

from universeg_jax.errors import InputError
from universeg_jax.util.json_files import read_json

LOOKED_AT = 20  # JSON files of a folder
LABELME = (
    "LabelMe polygons, which are not read; run `python labelme2voc.py FOLDER OUT --labels labels.txt`, from LabelMe's "
    "examples/semantic_segmentation, and take OUT/JPEGImages as images/ and its PNG files of classes as masks/"
)
COCO = (
    "COCO annotations, which are not read; draw a mask of each image by pycocotools (pip install pycocotools): "
    "np.maximum.reduce([coco.annToMask(a) * a['category_id'] for a in annotations]), saved as masks/NAME.png"
)


def check_foreign(path: Path) -> None:
    """Refuse a folder, or a JSON file, of annotations in a foreign format.

    Raises:
        InputError: LabelMe or COCO files; it names one, and the command that converts.
    """
    folders = [path, *(path / name for name in ("annotations", "masks", "labels", "images"))]
    files = [path] if path.is_file() else [file for place in folders for file in sorted(place.glob("*.json"))]
    for file in islice((file for file in files if file.suffix.lower() == ".json"), LOOKED_AT):
        try:
            about = read_json(file)
        except InputError:
            continue  # another reader reports it, if it belongs to a dataset
        if not isinstance(about, dict):
            continue
        if {"shapes", "imagePath"} <= about.keys():
            raise InputError(f"{file}: holds {LABELME}")
        if {"images", "annotations", "categories"} <= about.keys():
            raise InputError(f"{file}: holds {COCO}")
