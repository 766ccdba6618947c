import re
import threading

import numpy as np
import pytest

from tests.helpers.stand_in import Brightness, bright_disc, save
from universeg_jax.app.example_task import is_about, warning_text
from universeg_jax.app.propose import Proposer
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice
from universeg_jax.io.task_folder import read_support
from universeg_jax.segment.auto import Choice
from universeg_jax.segment.forecast import Forecast
from universeg_jax.segment.segmenter import Segmenter


@pytest.fixture
def workspace(tmp_path):
    for i in range(5):
        image, mask = bright_disc(i)
        save(tmp_path / "images" / f"s{i}.png", image)
        if i < 2:
            save(tmp_path / "masks" / f"s{i}.png", mask // 255)
    return Workspace(tmp_path)


def test_the_rest_is_proposed_from_what_is_confirmed(workspace):
    proposer = Proposer(workspace, lambda: Segmenter(Brightness()))
    assert list(proposer.propose(["s2", "s3", "s4"])) == ["s2", "s3", "s4"]
    for i, name in enumerate(("s2", "s3", "s4"), start=2):
        proposal = workspace.proposal(name)
        assert workspace.state(name) is State.PROPOSED
        assert proposal.examples == ("s0", "s1")
        truth = bright_disc(i)[1] == 255
        assert dice(proposal.mask(0.5, (1,)) == 1, truth) > 0.9
        assert 0.8 < proposal.forecast <= 1


def test_without_a_confirmed_image_it_says_what_to_do(tmp_path):
    save(tmp_path / "images" / "a.png", bright_disc(0)[0])
    with pytest.raises(InputError, match="no image is confirmed"):
        next(Proposer(Workspace(tmp_path), lambda: Segmenter(Brightness())).propose(["a"]))


def test_the_examples_are_fitted_once_until_one_changes(workspace, monkeypatch):
    segmenter = Segmenter(Brightness())
    fits, fit = [], segmenter.fit
    monkeypatch.setattr(segmenter, "fit", lambda *given, **options: fits.append(1) or fit(*given, **options))
    proposer = Proposer(workspace, lambda: segmenter)
    list(proposer.propose(["s2"]))
    list(proposer.propose(["s3"]))
    assert len(fits) == 1
    workspace.save("s3", (bright_disc(3)[1] // 255).astype(int), seen="", confirm=True)
    list(proposer.propose(["s4"]))
    assert len(fits) == 2
    assert workspace.proposal("s4").examples == ("s0", "s1", "s3")


def test_a_class_that_no_example_shows_has_no_probability(workspace):
    workspace.add_class()
    list(Proposer(workspace, lambda: Segmenter(Brightness())).propose(["s2"]))
    assert (workspace.proposal("s2").probability[..., 1] == 0).all()


@pytest.fixture
def automatic(monkeypatch):
    """Let a segmenter of a stand-in choose its plan as an automatic one does; lists the numbers of examples."""
    chosen = []

    def choose(task, *, pause=None):
        chosen.append(len(task.labels))
        if pause is not None:
            pause()
        return Choice(task.plan, f"choice {len(chosen)}", "compared", {}, Forecast(0.7, 0.6, 0.8, 2, 0.9))

    monkeypatch.setattr("universeg_jax.app.example_task.choose_plan", choose)
    segmenter = Segmenter(Brightness())
    segmenter.automatic = True
    return segmenter, chosen


def test_a_plan_is_chosen_again_after_the_examples_have_doubled(tmp_path, automatic):
    segmenter, chosen = automatic
    for i in range(9):
        save(tmp_path / f"s{i}.png", bright_disc(i)[0])
    workspace = Workspace(tmp_path)
    proposer = Proposer(workspace, lambda: segmenter)
    for i in range(8):
        workspace.save(f"s{i}", bright_disc(i)[1] // 255, seen="", confirm=True)
        list(proposer.propose(["s8"]))
        proposer.prepare()
    assert chosen == [2, 4, 8]
    assert workspace.proposal("s8").note.startswith("choice 2 from 8 confirmed images (chosen with 4): compared")
    list(proposer.propose(["s8"]))
    assert workspace.proposal("s8").note.startswith("choice 3 from 8 confirmed images: compared")
    workspace.reopen("s0")
    list(proposer.propose(["s8"]))  # fewer examples than at the last choice
    assert "training sets" in workspace.proposal("s8").note


def test_a_proposal_comes_before_the_plan_is_chosen_and_is_made_anew_after_it(workspace, automatic, monkeypatch):
    segmenter, chosen = automatic
    proposer = Proposer(workspace, lambda: segmenter)
    monkeypatch.setattr(proposer._background, "start", lambda: None)
    monkeypatch.setattr(type(proposer._background), "runs", True)
    proposer.start()
    assert list(proposer.propose(["s2"])) == ["s2"]
    assert (chosen, proposer.settled, proposer.renews, proposer.renewed("s2")) == ([], False, True, 0)
    assert "training sets" in workspace.proposal("s2").note
    proposer.prepare()
    assert (chosen, proposer.settled, proposer.renews, proposer.renewed("s2")) == ([2], True, False, 1)
    assert workspace.proposal("s2").note.startswith("choice 1 from 2 confirmed images: compared")
    assert workspace.forecast("s2") == pytest.approx(0.7, abs=0.2)


def test_the_end_of_the_page_interrupts_the_comparison_of_plans(workspace, automatic, monkeypatch):
    begun = threading.Event()

    def choose(task, *, pause):
        begun.set()
        while True:
            pause()

    monkeypatch.setattr("universeg_jax.app.example_task.choose_plan", choose)
    proposer = Proposer(workspace, lambda: automatic[0])
    proposer.start()
    assert begun.wait(timeout=30)
    proposer.stop()
    assert not proposer._background._thread.is_alive()


def test_what_was_prepared_is_not_computed_again(workspace, monkeypatch):
    segmenter = Segmenter(Brightness())
    proposer = Proposer(workspace, lambda: segmenter)
    proposer.prepare()
    task, _ = proposer.examples.task()
    monkeypatch.setattr(task, "segment", lambda *arguments, **options: pytest.fail("is segmented again"))
    assert workspace.proposal("s2") is None  # nobody has asked for it
    list(proposer.propose(["s2"]))
    assert workspace.proposal("s2").examples == ("s0", "s1")
    save(workspace.folder / "images" / "s2.png", bright_disc(7)[0])
    monkeypatch.undo()
    list(proposer.propose(["s2"]))  # of the changed image
    assert dice(workspace.proposal("s2").mask(0.5, (1,)) == 1, bright_disc(7)[1] == 255) > 0.9


def test_a_request_stops_the_preparation_after_one_step(workspace):
    proposer = Proposer(workspace, lambda: Segmenter(Brightness()))
    steps, asked = [], []
    monkey = proposer._steps

    def counted():
        for step in monkey():
            steps.append(step)
            if len(steps) == 1:
                thread = threading.Thread(target=lambda: asked.extend(proposer.propose(["s4"])))
                thread.start()
                while not proposer._turns._requests:
                    pass
            assert bool(asked) is (len(steps) > 1)
            yield

    proposer._steps = counted
    proposer.prepare()
    assert asked == ["s4"]


def test_the_images_that_were_confirmed_last_are_the_examples(tmp_path, monkeypatch):
    monkeypatch.setattr("universeg_jax.app.example_task.MOST", 2)
    for i in range(5):
        save(tmp_path / f"s{i}.png", bright_disc(i)[0])
    workspace = Workspace(tmp_path)
    for i in (3, 0, 1):
        workspace.save(f"s{i}", bright_disc(i)[1] // 255, seen="", confirm=True)
    again = Workspace(tmp_path)
    list(Proposer(again, lambda: Segmenter(Brightness())).propose(["s4"]))
    assert again.proposal("s4").examples == ("s0", "s1")


def test_warnings_are_kept_with_the_image_that_they_are_about(workspace):
    save(workspace.folder / "images" / "s2.png", np.full((20, 24), 7, np.uint8))
    list(Proposer(workspace, lambda: Segmenter(Brightness())).propose(["s2", "s3"]))
    again = Workspace(workspace.folder)
    assert any("s2" in text and "constant" in text for text in again.proposal("s2").warnings)
    assert not any("s2" in text for text in again.proposal("s3").warnings)


def test_advice_on_options_is_left_out_of_warnings():
    assert warning_text("a: is dark; it lies apart; pass window=(1, 2), or --window 1 2") == "a: is dark; it lies apart"
    assert warning_text("pass another") == "pass another"
    assert warning_text("a: is larger than every support image") == "a: is larger than every example"


def test_a_warning_is_shown_with_the_images_that_it_names():
    text = "d, e: intensities look inverted; if so, negate the image"
    assert [is_about(text, name, ["d", "e", "f", "i"]) for name in ("d", "e", "f", "i")] == [True, True, False, False]
    assert is_about("an ensemble needs two confirmed images", "d", ["d", "e"])
    assert not is_about("v0, slice 12: nothing was found", "v0, slice 1", ["v0, slice 1", "v0, slice 12"])


def unusable_image(folder):
    (folder / "images" / "s3.png").write_bytes(b"damaged")


def vanished_image(folder):
    (folder / "images" / "s3.png").unlink()


def unusable_example(folder):
    (folder / "images" / "s1.png").write_bytes(b"damaged")


def unusable_mask(folder):
    (folder / "masks" / "s1.png").write_bytes(b"damaged")


def mask_of_another_size(folder):
    save(folder / "masks" / "s1.png", np.ones((5, 6), np.uint8))


def vanished_mask(folder):
    (folder / "masks" / "s1.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "name", "reason"),
    [
        (unusable_image, "s3", r"images/s3.png: is not a PNG"),
        (vanished_image, "s3", r"images/s3.png: there is no such file"),
        (unusable_example, "s1", r"images/s1.png: is not a PNG"),
        (unusable_mask, "s1", r"masks/s1.png: is not a PNG"),
        (mask_of_another_size, "s1", r"masks/s1.png: is 6x5 .* but the image .* is 24x20"),
        (vanished_mask, "s1", r"s1: its mask is no longer there"),
    ],
)
def test_an_unusable_file_is_noted_and_the_others_are_proposed(workspace, spoil, name, reason):
    spoil(workspace.folder)
    proposer = Proposer(workspace, lambda: Segmenter(Brightness()))
    proposer.prepare()
    assert list(proposer.propose(["s2", "s3", "s4"])) == ["s2", "s3", "s4"]
    proposed = [one for one in ("s2", "s3", "s4") if workspace.state(one) is State.PROPOSED]
    assert proposed == [one for one in ("s2", "s3", "s4") if one != name]
    assert list(workspace.problems.all()) == [name]
    assert re.search(reason, workspace.problem(name))
    assert workspace.order()[-1] == name
    assert workspace.next_to_look_at() != name


def test_a_mended_file_is_used_again(workspace):
    whole = (workspace.folder / "images" / "s3.png").read_bytes()
    unusable_image(workspace.folder)
    proposer = Proposer(workspace, lambda: Segmenter(Brightness()))
    list(proposer.propose(["s3"]))
    assert workspace.problem("s3")
    (workspace.folder / "images" / "s3.png").write_bytes(whole)
    list(proposer.propose(["s3"]))
    assert workspace.problem("s3") == ""
    assert workspace.state("s3") is State.PROPOSED


def test_empty_confirmed_images_are_negative_examples(workspace):
    workspace.save("s2", np.zeros((20, 24), int), seen="", confirm=True)
    proposer = Proposer(workspace, lambda: Segmenter(Brightness()))
    list(proposer.propose(["s3"]))
    assert workspace.proposal("s3").examples == ("s0", "s1", "s2")
    task, _ = proposer.examples.task()
    assert task.support.mask.tolist() == [[True, True, True]]
    support = read_support(workspace.folder)
    assert support.names == ["s0", "s1", "s2"]
    assert not support.labels[2].any()


def test_only_empty_confirmed_images_are_explained(tmp_path):
    save(tmp_path / "a.png", bright_disc(0)[0])
    workspace = Workspace(tmp_path)
    workspace.save("a", np.zeros((20, 24), int), seen="", confirm=True)
    with pytest.raises(InputError, match="no confirmed image shows a structure"):
        next(Proposer(workspace, lambda: Segmenter(Brightness())).propose(["a"]))
