import fcntl
import json
import os

import nibabel
import numpy as np
import pytest

import universeg_jax.weights
from tests.helpers.intensities import Intensities
from tests.helpers.make_volumes import SHAPE, affine, scene, turned, write_volumes
from tests.helpers.stand_in import save
from universeg_jax.cli.main import main
from universeg_jax.evaluate.metrics import dice


@pytest.fixture(autouse=True)
def model(monkeypatch):
    """Every name of weights loads one stand-in."""
    made = Intensities()
    monkeypatch.setattr(universeg_jax.weights, "load", lambda name: made, raising=False)
    return made


@pytest.fixture
def task(tmp_path):
    return write_volumes(tmp_path)


def predict(folder, *more):
    options = {"-s": "support", "-i": "scans", "-o": "out"}
    more = more if "-m" in more else ("-m", "universeg", *more)
    argv = [part for option, name in options.items() if option not in more for part in (option, str(folder / name))]
    return main(["predict", *argv, *map(str, more)])


def test_masks_lie_over_their_scans_in_their_orientation(task, capsys):
    assert predict(task, "--labels", task / "labels") == 0
    for i, turn in enumerate(("RAS", "LPS")):
        scan, mask = (nibabel.load(task / folder / f"t{i}.nii.gz") for folder in ("scans", "out/masks"))
        np.testing.assert_array_equal(mask.affine, scan.affine)
        assert mask.shape == scan.shape
        assert mask.get_data_dtype() == np.uint8
        assert nibabel.aff2axcodes(mask.affine) == tuple(turn)
        found, truth = np.asarray(mask.dataobj), turned(scene(10 + i)[1], turn)
        for value in (1, 2):
            assert dice(found == value, truth == value) > 0.8
    report = json.loads((task / "out" / "report.json").read_text())
    assert [scan["name"] for scan in report["scans"]] == ["t0", "t1"]
    first = report["scans"][0]["structures"]["1"]
    assert first["millilitres"] == pytest.approx(first["voxels"] * 3 / 1000, abs=1e-3)
    assert first["dice"] > 0.8
    assert (task / "out" / "overview.png").is_file()
    assert "mean" in capsys.readouterr().out


def test_a_run_resumes_after_the_last_finished_scan(task, monkeypatch, capsys):
    from universeg_jax.segment.volume_task import VolumeTask

    segment = VolumeTask.segment

    def interrupted(self, volume, done):
        if "t1" in volume.name:
            raise KeyboardInterrupt
        return segment(self, volume, done)

    monkeypatch.setattr(VolumeTask, "segment", interrupted)
    with pytest.raises(SystemExit) as stopped:
        predict(task)
    assert stopped.value.code == 130
    assert "1 of 2 scans are finished" in capsys.readouterr().err
    assert [file.name for file in (task / "out" / "masks").iterdir()] == ["t0.nii.gz"]
    seen = []
    monkeypatch.setattr(
        VolumeTask, "segment", lambda self, volume, done: (seen.append(volume.name), segment(self, volume, done))[1]
    )
    assert predict(task) == 0
    assert [name.endswith("t1.nii.gz") for name in seen] == [True]
    assert predict(task, "--threshold", "0.4") == 2
    assert "other settings; pass --overwrite" in capsys.readouterr().err


def test_pictures_segment_volumes(task):
    for i in range(2):
        image, labels = scene(i)
        for k in (3, 5, 7):
            save(task / "pictures" / "images" / f"s{i}_{k}.png", (image[:, :, k].T[::-1, ::-1] // 5).astype(np.uint8))
            save(task / "pictures" / "masks" / f"s{i}_{k}.png", labels[:, :, k].T[::-1, ::-1])
    assert predict(task, "-s", task / "pictures") == 0
    found = np.asarray(nibabel.load(task / "out" / "masks" / "t0.nii.gz").dataobj)
    assert dice(found[..., 3:8] == 1, scene(10)[1][..., 3:8] == 1) > 0.7


def test_volumes_segment_pictures(task):
    image, labels = scene(10)
    save(task / "pictures" / "a.png", (image[:, :, 5].T[::-1, ::-1] // 5).astype(np.uint8))
    assert predict(task, "-i", task / "pictures") == 0
    from PIL import Image

    with Image.open(task / "out" / "masks" / "a.png") as picture:
        found = np.asarray(picture)
    assert dice(found == 1, labels[:, :, 5].T[::-1, ::-1] == 1) > 0.7


def test_slices_nobody_labelled_are_left_out(task, model):
    labels = np.zeros(SHAPE, np.uint8)
    labels[..., 5] = scene(0)[1][..., 5]
    nibabel.save(nibabel.Nifti1Image(labels, affine()), task / "support" / "masks" / "s0.nii.gz")
    assert predict(task, "--labelled-slices", "--support-size", "4") == 0
    for _, shown, mask in model.sets:
        assert shown[:, mask[0] > 0].any(axis=(0, 2, 3, 4)).all()


def test_a_scan_that_changed_is_segmented_again_even_under_its_old_time(task, monkeypatch):
    from universeg_jax.segment.volume_task import VolumeTask

    assert predict(task) == 0
    segment, seen = VolumeTask.segment, []
    monkeypatch.setattr(
        VolumeTask, "segment", lambda self, volume, done: (seen.append(volume.name), segment(self, volume, done))[1]
    )
    scan = task / "scans" / "t0.nii.gz"
    before = scan.stat()
    content = bytearray(scan.read_bytes())
    content[4:8] = b"time"  # of the gzip header: the same voxels in the same number of bytes
    scan.write_bytes(content)
    os.utime(scan, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert predict(task) == 0
    assert seen == [str(scan)]


def test_two_runs_never_share_a_folder(task, capsys):
    (task / "out").mkdir()
    handle = os.open(task / "out", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # as another process
    try:
        assert predict(task) == 2
    finally:
        os.close(handle)
    assert "another run is writing to it" in capsys.readouterr().err
    assert not list((task / "out").iterdir())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--ensemble", "3"), "--ensemble is for pictures"),
        (("--probabilities",), "--probabilities is for pictures"),
        (("--dicom-seg",), "must be DICOM series"),
        (("--islands", "2"), "islands=2.0"),
        (("--support-size", "0"), "size=0"),
        (("--channel", "3"), "there is no channel 3"),
    ],
)
def test_options_that_cannot_be_used(task, capsys, option, message):
    assert predict(task, *option) == 2
    assert message in capsys.readouterr().err
    assert not (task / "out" / "masks").exists()


def test_a_mask_of_another_geometry_is_refused(task, capsys):
    nibabel.save(
        nibabel.Nifti1Image(scene(0)[1], np.diag([1.0, 1.0, 3.5, 1.0]) + np.eye(4, k=3) * 0),
        task / "support" / "masks" / "s0.nii.gz",
    )
    assert predict(task) == 2
    error = capsys.readouterr().err
    assert "s0.nii.gz: lies" in error
    assert "axis 2" in error
    assert "it has 3.5 mm there, the image 3 mm" in error


def test_the_default_chooses_and_says_so(task, monkeypatch, capsys):
    monkeypatch.setattr("universeg_jax.segment.auto._protosam", lambda: (None, "no network"))
    argv = [
        part for option, name in (("-s", "support"), ("-i", "scans"), ("-o", "out")) for part in (option, task / name)
    ]
    assert main(["predict", *map(str, argv)]) == 0
    said = capsys.readouterr()
    assert "open-v4 segments alone: no network" in said.err
    assert "expected Dice of 2 volumes 0." in said.out
    assert "from leave-one-out over 2 volumes" in said.out
    report = json.loads((task / "out" / "report.json").read_text())
    assert report["settings"]["model"] == "auto"
    assert report["choice"]["name"].startswith("UniverSeg")
    assert "over 16 slices of 2 volumes" in report["choice"]["reason"]
    assert report["forecast"]["unit"] == "volumes"
    assert report["look_first"] == [min(report["scans"], key=lambda scan: scan["predicted_dice"])["name"]]
