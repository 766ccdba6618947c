import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.helpers.make_sources import pictures, save
from universeg_jax.data.readers.detect import find_sources
from universeg_jax.data.readers.pictures import find
from universeg_jax.errors import InputError, SegmentationWarning


def read_all(source):
    return {item.name: source.read(item)[0] for item in source.items if not item.problem}


def test_values_are_classes(tmp_path):
    [source] = find(pictures(tmp_path / "cells", 3))
    scans = read_all(source)
    assert source.name == "cells"
    assert not source.subjects_known
    assert list(scans) == ["case00", "case01", "case02"]
    scan = scans["case01"]
    assert scan.image.shape == scan.labels.shape == (40, 60)
    assert scan.modality == "image"
    assert scan.spacing is None
    assert np.unique(scan.labels).tolist() == [0, 1, 2]
    assert scan.image[scan.labels == 1].mean() > scan.image[scan.labels == 0].mean() + 100


def test_classes_are_named(tmp_path):
    folder = pictures(tmp_path, 2)
    (folder / "classes.json").write_text(json.dumps({"1": "cell"}))
    [source] = find(folder, "microscopy")
    scan = source.read(source.items[0])[0]
    assert {1: "cell", 2: "2"}.items() <= scan.class_names.items()
    assert scan.modality == "microscopy"


def test_colour_images_become_luminance(tmp_path):
    folder = pictures(tmp_path, 1)
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 200
    save(folder / "images" / "case00.png", red)
    [source] = find(folder)
    np.testing.assert_allclose(source.read(source.items[0])[0].image, 200 * 0.299)


def test_grey_among_colours_is_a_colour(tmp_path):
    folder = pictures(tmp_path, 2)
    white, red = np.zeros((2, 40, 60, 3), np.uint8)
    white[5:9], red[5:9, :, 0] = 255, 255
    save(folder / "masks" / "case00.png", white)
    save(folder / "masks" / "case01.png", red)
    [source] = find(folder)
    names = [scan.class_names for scan in read_all(source).values()]
    assert names == [{0: "#000000", 0xFFFFFF: "#ffffff"}, {0: "#000000", 0xFF0000: "#ff0000"}]


def test_unpaired_files_are_items_with_a_problem(tmp_path):
    folder = pictures(tmp_path, 3)
    (folder / "images" / "case00.png").unlink()
    (folder / "masks" / "case02.png").unlink()
    [source] = find(folder)
    assert [item.problem for item in source.items] == [
        f"{folder}/masks/case00.png: there is no image of this name",
        "",
        f"{folder}/images/case02.png: there is no mask of this name",
    ]


@pytest.mark.parametrize("names", ["{", "[]", '{"1": 2}'])
def test_bad_names_are_refused(tmp_path, names):
    folder = pictures(tmp_path, 1)
    (folder / "classes.json").write_text(names)
    with pytest.raises(InputError, match=r"classes\.json"):
        find(folder)


def test_damaged_and_unlike_files_are_refused(tmp_path):
    folder = pictures(tmp_path, 2)
    (folder / "images" / "case00.png").write_bytes(b"\x89PNG")
    save(folder / "masks" / "case01.png", np.zeros((4, 4)))
    [source] = find(folder)
    for item, message in zip(source.items, ["case00.png: is not a PNG", "case01.png: is 4x4"], strict=True):
        with pytest.raises(InputError, match=message):
            source.read(item)


def test_pairs_in_one_folder(tmp_path):
    folder = pictures(tmp_path / "both", 2)
    for i in range(2):
        (folder / "images" / f"case{i:02d}.png").rename(folder / f"img{i:04d}.png")
        (folder / "masks" / f"case{i:02d}.png").rename(folder / f"label{i:04d}.png")
    for name in ("images", "masks"):
        (folder / name).rmdir()
    [source] = find_sources(folder)
    assert (source.kind, [item.name for item in source.items]) == ("images", ["img0000", "img0001"])
    [scan] = source.scans(source.items[1])
    assert scan.image[scan.labels == 1].mean() > scan.image[scan.labels == 0].mean() + 100


@pytest.mark.parametrize("channels", [1, 2])
def test_nnunet_with_png(tmp_path, channels):
    folder = pictures(tmp_path, 2)
    (folder / "images").rename(folder / "imagesTr")
    (folder / "masks").rename(folder / "labelsTr")
    for i in range(2):
        image = folder / "imagesTr" / f"case{i:02d}.png"
        for c in range(channels):
            save(image.with_name(f"case{i:02d}_{c:04d}.png"), np.full((40, 60), 10 * c + i))
        image.unlink()
    names = {str(c): name for c, name in enumerate(("DAPI", "GFP")[:channels])}
    about = {"channel_names": names, "labels": {"background": 0, "cell": 1, "nucleus": 2}, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(about))
    [source] = find_sources(folder)
    scans = source.scans(source.items[1])
    assert [scan.image.max() for scan in scans] == [1, 11][:channels]
    assert np.unique(scans[0].labels).tolist() == [0, 1, 2]
    assert {1: "cell", 2: "nucleus"}.items() <= scans[0].class_names.items()
    if channels == 2:
        assert [scan.modality for scan in scans] == ["DAPI", "GFP"]


def test_regions_of_pictures(tmp_path):
    folder = pictures(tmp_path, 1)
    (folder / "dataset.json").write_text(json.dumps({"labels": {"any": [1, 2], "two": 2}}))
    [source] = find_sources(folder)
    [scan] = source.scans(source.items[0])
    assert (scan.classes, scan.class_names, scan.members(1)) == ([1, 2], {1: "any", 2: "two"}, (1, 2))


def test_blurred_masks_are_cut_and_instances_refused(tmp_path):
    folder = pictures(tmp_path, 2, size=(80, 120), values=(255,))
    with Image.open(folder / "masks" / "case00.png") as mask:
        sharp = np.asarray(mask)
        small = mask.resize((60, 40), Image.Resampling.BILINEAR).resize((120, 80), Image.Resampling.BILINEAR)
    small.save(folder / "masks" / "case00.png")
    save(folder / "masks" / "case01.png", np.kron(np.arange(96).reshape(8, 12), np.ones((10, 10))))
    [source] = find_sources(folder)
    with pytest.warns(SegmentationWarning, match="blurred borders"):
        [scan] = source.scans(source.items[0])
    assert set(np.unique(scan.labels)) == {0, 255}
    assert (scan.labels != sharp).mean() < 0.02
    with pytest.raises(InputError, match=r"case01\.png: has 95 different values .*--one-class"):
        source.scans(source.items[1])
    joined = replace(source, one_class="cell")
    assert joined.scans(joined.items[1])[0].classes == [1]
