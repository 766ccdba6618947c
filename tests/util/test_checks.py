from pathlib import Path

import pytest

from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_file_names, check_name, check_text, is_number


def test_names_of_all_languages_are_allowed():
    for name in ("nucleus", "Größe", "\u4e2d\u6587", "left ventricle", "\U0001f9e0", "n" * 200):
        assert check_name(name, "classes.json") == name
    check_file_names([Path("a.png"), Path("Größe.png"), Path("\u4e2d.nii.gz")])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("n" * 1_000_000, "has 1000000 characters; at most 200"),
        ("\x1b[31mred", r"'\\x1b\[31mred' holds control characters"),
        ("a\nb", "holds control characters"),
        ("\ud800", "holds control characters"),
        (" ", "is empty"),
        (["x" * 10**6], "is no text"),
    ],
)
def test_other_names_are_refused_in_a_short_line(name, problem):
    with pytest.raises(InputError, match=rf"^classes.json: .*{problem}") as caught:
        check_name(name, "classes.json")
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "problem"), [("\udcff.png", "is not text in this locale"), ("a\x07.png", "holds control characters")]
)
def test_files_that_cannot_be_reported_are_named(name, problem):
    with pytest.raises(InputError, match=problem) as caught:
        check_file_names([Path("folder") / "a.png", Path("folder") / name])
    assert str(caught.value).isprintable()


def test_numbers_are_ascii_digits():
    assert [text for text in ("0", "12", "²", "\u0661", "-1", "", "1" * 10, 3) if is_number(text)] == ["0", "12"]


def test_arguments_that_are_no_text_are_refused():
    check_text("Größe 中")
    with pytest.raises(InputError, match=r"'Gr\\udcc3\\udcb6': is not text in this locale: rename .* C.UTF-8"):
        check_text(b"Gr\xc3\xb6".decode("ascii", "surrogateescape"))
