"""Links between pages lead somewhere."""

import re

import pytest

import universeg_jax
from tests.helpers.pages import PAGES, ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
RESULTS = sorted((ROOT / "experiments" / "results").rglob("*.md"))
CARDS = sorted((ROOT / "universeg_jax" / "assets").rglob("*.md"))
ALL = [*PAGES, ROOT / "CHANGELOG.md", *RESULTS, *CARDS]


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page) -> list[str]:
    """Links of a page to files or headings that do not exist."""
    wrong = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if link.startswith(("http://", "https://")):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken(page) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A (fine) heading\n[a](#a-fine-heading) [b](#other) [c](no.md) [d](page.md#a-fine-heading)")
    assert broken(page) == ["#other", "no.md"]


def test_every_page_is_reached_from_the_readme():
    reached, to_read = set(), [ROOT / "README.md"]
    while to_read:
        page = to_read.pop()
        reached.add(page)
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in reached:
                to_read.append(target)
    assert set(PAGES) <= reached


def test_the_citation_has_the_version_of_the_package():
    assert f"\nversion: {universeg_jax.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
