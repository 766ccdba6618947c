import numpy as np
import pytest

from tests.helpers.stand_in import Brightness, bright_disc, save
from universeg_jax.app.propose import Proposer, warning_text
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.evaluate.metrics import dice
from universeg_jax.segment.auto import Choice
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


def test_a_plan_is_chosen_again_after_the_examples_have_doubled(tmp_path, monkeypatch):
    for i in range(9):
        save(tmp_path / f"s{i}.png", bright_disc(i)[0])
    workspace, segmenter, given, chosen = Workspace(tmp_path), Segmenter(Brightness()), [], []
    fit = segmenter.fit

    def fit_and_choose(*arguments, choice=None, **options):
        given.append(choice)
        task = fit(*arguments, **options)
        task.choice = choice or Choice(task.plan, f"choice {len(given)}", "", {}, None)
        return task

    monkeypatch.setattr(segmenter, "fit", fit_and_choose)
    proposer = Proposer(workspace, lambda: segmenter)
    for i in range(8):
        workspace.save(f"s{i}", bright_disc(i)[1] // 255, seen="", confirm=True)
        list(proposer.propose(["s8"]))
        fits = len(given)
        proposer.prepare()
        chosen += [i + 1] * any(choice is None for choice in given[fits:])
    assert chosen == [2, 4, 8]
    assert [choice is None for choice in given].count(True) == 4  # these and the first
    workspace.reopen("s0")
    list(proposer.propose(["s8"]))  # fewer examples than at the last choice
    assert given[-1] is None


def test_the_images_that_were_confirmed_last_are_the_examples(tmp_path, monkeypatch):
    monkeypatch.setattr("universeg_jax.app.propose.MOST_EXAMPLES", 2)
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
