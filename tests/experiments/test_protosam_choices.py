from dataclasses import fields

import pytest

from experiments.protosam.choices import BFLOAT16, CHOICES, DEFAULT, chosen, contenders, page
from tests.helpers.array_corpus import ArrayCorpus, examples
from tests.helpers.painting_sam import PaintingSAM
from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.models.protosam.config import ProtoSAMConfig


def test_every_fourth_set_with_enough_examples_is_taken():
    tasks = {CorpusTask(name, "image", "2d", "1"): examples(9 if name == "b" else 12) for name in "abcdefg"}
    corpus = ArrayCorpus(tasks)
    corpus.datasets = tuple("abcdefg")
    assert [task.dataset for task in chosen(corpus)] == ["a", "f"]  # of a and c to g


@pytest.mark.parametrize(("half", "default"), [("coarse", ProtoSAMConfig.coarse()), ("refined", ProtoSAMConfig())])
def test_each_choice_changes_one_part_of_the_defaults(half, default):
    assert CHOICES[half][DEFAULT] == default
    others = {name: config for name, config in CHOICES[half].items() if name != DEFAULT}
    for name, config in others.items():
        changed = [f.name for f in fields(config) if getattr(config, f.name) != getattr(default, f.name)]
        assert len(changed) == 1, name
    assert len(set(map(repr, others.values()))) == len(others)


def test_bfloat16_is_compared_too():
    rows = contenders(PaintingSAM())
    assert [row.name for row in rows["coarse"]] == list(CHOICES["coarse"])
    assert [row.name for row in rows["refined"] if row.dtype == "bfloat16"] == [BFLOAT16]


def test_the_page_counts_sets_that_are_better_and_worse():
    names = {half: list(configs)[:2] for half, configs in CHOICES.items()}
    found = {
        f"set{i}": {half: {own[0]: 0.5, own[1]: 0.5 + difference} for half, own in names.items()}
        for i, difference in enumerate((0.1, 0.2, -0.3, 0.004))
    }
    text = page(found)
    assert f"| {DEFAULT} | 0.500 |  |  |  |" in text
    row = next(line for line in text.splitlines() if line.startswith(f"| {names['coarse'][1]} |"))
    _, _, dice, difference, better, worse, _ = map(str.strip, row.split("|"))
    assert (dice, better, worse) == ("0.501", "2", "1")
    assert difference.startswith("+0.001 [-0.")


def test_one_set_has_no_interval():
    found = {"set": {half: {DEFAULT: 0.5, list(configs)[1]: 0.6} for half, configs in CHOICES.items()}}
    assert f"| {list(CHOICES['coarse'])[1]} | 0.600 | +0.100 | 1 | 0 |" in page(found)
