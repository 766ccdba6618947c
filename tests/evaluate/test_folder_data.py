import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.helpers import make_sources
from tests.helpers.corpora import prepare_all
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.errors import InputError, SegmentationWarning
from universeg_jax.evaluate.data import CorpusData
from universeg_jax.evaluate.folder_data import read_folder
from universeg_jax.evaluate.protocol import EvaluationProtocol
from universeg_jax.evaluate.runner import evaluate


def test_pictures_are_those_of_a_prepared_corpus(tmp_path):
    folder = make_sources.pictures(tmp_path / "cells", 5)
    prepare_all(folder, tmp_path / "corpus")
    corpus, data = CorpusData(Corpus(tmp_path / "corpus")), read_folder(folder)
    assert data.tasks == corpus.tasks
    assert not data.subjects_known("cells")
    for task in data.tasks:
        # The corpus is stored by split, the folder by name.
        known = {e.subject: e for e in corpus.examples(task)}
        assert sorted(known) == [e.subject for e in data.examples(task)]
        for example, case in zip(data.examples(task), data.cases(task), strict=True):
            stored = known[example.subject]
            for one, other in zip(data.read(task, example.image), corpus.read(task, stored.image), strict=True):
                np.testing.assert_array_equal(one, other)
            assert case.images == (example.image,)
            assert case.area == example.area
            if stored.area:
                assert example.area == pytest.approx(stored.area, rel=0.05)  # which was taken at 64 pixels
    assert {c.split for c in corpus.cases(corpus.tasks[0])} == {"train", "validation", "test"}
    assert CorpusData(Corpus(tmp_path / "corpus"), datasets=()).tasks == ()
    smaller = CorpusData(Corpus(tmp_path / "corpus", resolution=64))
    assert smaller.fingerprint("cells") != corpus.fingerprint("cells")


def test_volumes_are_cases_of_all_their_slices(tmp_path):
    folder = make_sources.nifti_pairs(tmp_path / "scans", 3)
    data = read_folder(folder, modality="MR")
    assert not data.subjects_known("scans")
    assert read_folder(folder, modality="MR", subject_pattern=r"scan_\d").subjects_known("scans")
    task = data.tasks[0]
    assert (task.modality, task.axis) == ("MR", "axial")
    case = data.cases(task)[0]
    image = nibabel.load(next((folder / "imagesTr").glob("scan_*.nii.gz")))
    depth, spacing = image.shape[2], image.header.get_zooms()
    assert len(case.images) == depth
    side = max(n * s for n, s in zip(image.shape[:2], spacing[:2], strict=True))
    assert case.spacing == pytest.approx((spacing[2], side / 128, side / 128))
    label = np.stack([data.read(task, i)[1] for i in case.images])
    assert case.area == pytest.approx(label.mean(axis=(1, 2, 3)).max())
    examples = [e for e in data.examples(task) if e.subject == case.subject]
    assert 1 <= len(examples) <= 2
    assert max(e.area for e in examples) == case.area
    assert data.fingerprint("scans") == read_folder(folder, modality="MR").fingerprint("scans")
    with pytest.warns(SegmentationWarning, match="lowest value"):
        as_ct = read_folder(folder, modality="CT")
    assert data.fingerprint("scans") != as_ct.fingerprint("scans")


def test_volumes_are_cut_along_another_axis(tmp_path):
    folder = make_sources.nifti_pairs(tmp_path / "scans", 2)
    assert {task.axis for task in read_folder(folder, modality="MR", axis="sagittal").tasks} == {"sagittal"}


def test_volumes_of_another_spacing_are_other_data(tmp_path):
    folder = make_sources.nifti_pairs(tmp_path / "scans", 2)
    before = read_folder(folder, modality="MR")
    for file in folder.rglob("scan_*.nii.gz"):
        image = nibabel.load(file)
        # Thicker slices: each of them stays as it is.
        thicker = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine @ np.diag([1, 1, 2, 1]))
        nibabel.save(thicker, file)
    after = read_folder(folder, modality="MR")
    task = before.tasks[0]
    for case, other in zip(before.cases(task), after.cases(task), strict=True):
        assert other.spacing == pytest.approx((2 * case.spacing[0], *case.spacing[1:]))
        np.testing.assert_array_equal(before.read(task, case.images[0]), after.read(task, other.images[0]))
    assert before.fingerprint("scans") != after.fingerprint("scans")


def test_volumes_of_a_folder_are_measured(tmp_path, threshold):
    data = read_folder(make_sources.nifti_pairs(tmp_path / "scans", 3), modality="MR")
    protocol = EvaluationProtocol(support_sizes=(2,), draws=1, folds=5, minimum_area=0.0)
    evaluation = evaluate(data, [threshold], protocol, tmp_path / "out", tasks=data.tasks[:1])
    (record,) = evaluation.records.values()
    assert len(record.cases) == len(set(record.subjects)) == 3
    assert np.isfinite(record.scores).all()


def test_what_cannot_be_used_is_named(tmp_path):
    folder = make_sources.pictures(tmp_path / "cells", 3)
    next((folder / "masks").iterdir()).unlink()
    with pytest.raises(InputError, match="there is no mask of this name"):
        read_folder(folder)
    for name in ("a", "b"):
        make_sources.npz(tmp_path / "sets" / f"{name}.npz", 2)
    with pytest.raises(InputError, match=r"sets: holds 2 datasets \(a, b, ...\)"):
        read_folder(tmp_path / "sets")


def test_masks_that_mark_by_unlike_values_are_refused(tmp_path):
    folder = make_sources.pictures(tmp_path / "cells", 3, values=(1,))
    mask = folder / "masks" / "case01.png"
    with Image.open(mask) as picture:
        make_sources.save(mask, 255 * np.asarray(picture))
    with pytest.raises(InputError, match="case00 marks the structure by 1, case01 by 255"):
        read_folder(folder)


def test_instances_are_refused_or_joined_into_one_class(tmp_path):
    folder = make_sources.pictures(tmp_path / "cells", 2, size=(80, 120))
    make_sources.save(folder / "masks" / "case01.png", np.kron(np.arange(96).reshape(8, 12), np.ones((10, 10))))
    with pytest.raises(InputError, match=r"case01\.png: has 95 different values .* --one-class"):
        read_folder(folder)
    assert [task.label for task in read_folder(folder, one_class="cell").tasks] == ["cell"]


def test_splits_of_the_dataset_are_kept(tmp_path):
    images = {f"{split}_images": np.zeros((2, 8, 8), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_label": np.eye(8, dtype=np.uint8)[None].repeat(2, 0) for split in ("train", "val", "test")}
    np.savez(tmp_path / "a.npz", **images, **labels)
    with pytest.warns(SegmentationWarning, match="shows nothing"):
        data = read_folder(tmp_path / "a.npz")
    [task] = data.tasks
    assert [case.split for case in data.cases(task)] == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert [example.split for example in data.examples(task)] == [case.split for case in data.cases(task)]
    assert data.name(data.cases(task)[2].images[0]) == data.cases(task)[2].name == "val_000000"
