import json
from functools import partial

import pytest
from flax import nnx

import universeg_jax.train.finetune.run
import universeg_jax.train.learner
from tests.helpers.make_volumes import write_volumes
from tests.helpers.stand_in import bright_disc, refused, save
from universeg_jax.cli.main import main
from universeg_jax.data.augment import Policy
from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.train.finetune.run import FineTuning
from universeg_jax.train.loop import STOPPED, Stopped
from universeg_jax.weights import save as save_weights
from universeg_jax.weights.store import read_description

STEPS = 75


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with weights/, a task/ of two subjects' discs each, and few/ with four images."""
    folder = tmp_path_factory.mktemp("finetune")
    config = UniverSegConfig(((8, 8), (8, 8)), input_size=16)
    provenance = {"licence": "research use only"}
    save_weights(UniverSeg(config, rngs=nnx.Rngs(0)), folder / "weights", provenance=provenance)
    for name, number in (("task", 10), ("few", 4)):
        for i in range(number):
            image, mask = bright_disc(i)
            save(folder / name / "images" / f"p{i}.png", image)
            save(folder / name / "masks" / f"p{i}.png", mask)
    return folder


def finetune(place, *more: str, task: str = "task") -> int:
    """Run the command, without augmentation, which takes longest to compile; its exit code."""
    argv = ["--weights", str(place / "weights"), "--steps", str(STEPS), "--support", "4", "--learning-rate", "0.01"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(universeg_jax.train.finetune.run, "FineTuning", partial(FineTuning, policy=Policy.none()))
        try:
            return main(["finetune", str(place / task), *argv, *more])
        except SystemExit as exit:
            return exit.code


@pytest.fixture(scope="module")
def run(place):
    out = place / "run"
    assert finetune(place, "--out", str(out), "--quiet") == 0
    return out


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_table_shows_the_gain_of_fine_tuning(run):
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert report["measured_on"] == "test"
    assert report["helped"]
    assert report["recommended"] == "fine-tuned"
    assert sorted(len(names) for names in report["examples"].values()) == [2, 2, 6]
    images = report["images"]["255"]
    assert sorted(images) == sorted(report["examples"]["test"])
    assert report["mean_dice"]["after"] > report["mean_dice"]["before"] + 0.1
    mean = sum(pair["after"] for pair in images.values()) / len(images)
    assert report["mean_dice"]["after"] == pytest.approx(mean, abs=1e-4)
    table = (run / "before_after.md").read_text(encoding="utf-8")
    assert f"| 255 | 2 | {report['mean_dice']['before']:.3f} | {report['mean_dice']['after']:.3f} | +" in table
    assert (run / "before_after.png").read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, STEPS + 1))
    provenance = read_description(run / "best")["provenance"]
    assert provenance["fine_tuned_from"]["weights"] == "weights"
    assert provenance["licence"] == "research use only"


def test_predict_uses_the_weights_and_reaches_the_reported_dice(place, run, tmp_path):
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    for part, folder in (("train", "support"), ("test", "targets")):
        for name in report["examples"][part]:
            for kind in ("images", "masks"):
                save_as = tmp_path / folder / kind / f"{name}.png"
                save_as.parent.mkdir(parents=True, exist_ok=True)
                save_as.write_bytes((place / "task" / kind / f"{name}.png").read_bytes())
    argv = ["-s", tmp_path / "support", "-i", tmp_path / "targets/images", "--labels", tmp_path / "targets/masks"]
    argv += ["-o", tmp_path / "out", "-w", run / "best", "-q"]
    assert main(["predict", *map(str, argv)]) == 0
    predicted = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert predicted["mean_dice"] == pytest.approx(report["mean_dice"]["after"], abs=1e-3)
    card = (run / "best" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Licence: research use only, as of weights" in card
    assert "16x16" in card


def test_the_same_command_again_gives_the_same(place, run, capsys):
    before = contents(run / "best")
    assert finetune(place, "--out", str(run)) == 0
    assert contents(run / "best") == before
    said = capsys.readouterr().out
    assert "examples: 6 for training, 2 to decide when to stop, 2 to measure the result" in said
    assert (run / "before_after.md").read_text(encoding="utf-8") in said


def test_a_stopped_run_says_how_to_resume(place, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise Stopped("stopped after step 3 of 75; run the same command again to resume")

    monkeypatch.setattr(universeg_jax.train.finetune.run, "train", stop)
    assert finetune(place, "--out", str(place / "stopped"), "--quiet") == STOPPED
    assert "run the same command again" in capsys.readouterr().err
    assert {path.name for path in (place / "stopped").iterdir()} == {"finetune.json"}


def test_what_does_not_go_together_with_a_run_leaves_it_as_it_was(place, run, capsys):
    before = contents(run)
    said = refused(capsys, finetune(place, "--out", str(run), "--seed", "1"))
    assert "seed was 0, is 1" in said
    assert "--overwrite" in said
    assert contents(run) == before


@pytest.mark.parametrize(
    ("task", "more", "message"),
    [
        ("few", (), "4 labelled examples of different subjects: fine-tuning needs 5 or more"),
        ("weights", (), "weights: must hold the folders images/ and masks/"),
        ("task", ("--weights", "nothing"), "unknown weights 'nothing'"),
        ("task", ("--size", "15"), "size=15: pass a multiple of 2"),
        ("task", ("--subject-pattern", "q"), "--subject-pattern 'q' does not match 'p0'"),
        ("task", ("--subject-pattern", "p"), "1 labelled examples of different subjects"),
        ("task", ("--out", "task/run"), "lies in"),
        ("task", ("--out", "few"), "exists and holds no run of this command"),
        ("task", ("--learning-rate", "0"), "Stage.learning_rate=0.0: pass a finite number above 0"),
        ("task", ("--window", "1", "0"), "window=(1, 0)"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(place, monkeypatch, capsys, task, more, message):
    monkeypatch.chdir(place)
    before = contents(place)
    assert message in refused(capsys, finetune(place, "--out", "new", *more, task=task))
    assert contents(place) == before


def test_empty_masks_and_weights_of_another_kind_are_refused(place, tmp_path, monkeypatch, capsys):
    for i in range(6):
        image, mask = bright_disc(i)
        save(tmp_path / "images" / f"{i}.png", image)
        save(tmp_path / "masks" / f"{i}.png", 0 * mask)
    argv = ["finetune", str(tmp_path), "--out", str(place / "new"), "-w", str(place / "weights")]
    assert "every pixel of every label is 0, so there is nothing to segment" in refused(capsys, main(argv))
    monkeypatch.setattr(universeg_jax.train.learner, "load", lambda name: DINOv2.__new__(DINOv2))
    assert "belong to a DINOv2; pass weights of UniverSeg" in refused(capsys, main([*argv[:-1], "dinov2-vits14"]))
    assert not (place / "new").exists()


def test_volumes_are_learned_from_by_slices(place, monkeypatch):
    write_volumes(place / "scans", support=5, targets=0)
    made = []

    def stop(self, *given, **more):
        made.append(self)
        raise Stopped("before the first step")

    monkeypatch.setattr(universeg_jax.train.finetune.run.FineTuningRun, "train", stop)
    assert finetune(place, "--out", str(place / "none"), "--quiet", task="scans/support") == STOPPED
    (work,) = made
    assert len(work.examples.names) > 5
    assert all(subject == name.split(",")[0] for subject, name in zip(work.subjects, work.examples.names, strict=True))
    parts = [{work.subjects[i] for i in indices} for indices in (work.split.train, work.split.validation)]
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == {f"s{i}" for i in range(5)}


def test_options_of_volumes_are_refused_for_pictures(place, capsys):
    assert finetune(place, "--out", str(place / "none"), "--axis", "axial") == 2
    assert "--axis is for volumes" in capsys.readouterr().err
