"""The list of the page: images or scans with their state and forecast, a sheet at a time."""

import html
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from universeg_jax.app.pictures import THUMBNAIL, for_browser
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace

SHEET = 24  # entries at once
NAMED = 3  # problems that are explained below the count
OFTEN = 0.5  # seconds between two looks at thumbnails that are being made
MARKS = {State.EMPTY: "○ empty", State.PROPOSED: "◐ proposed", State.EDITED: "◐ edited", State.CONFIRMED: "● confirmed"}
UNUSABLE = "✕ unusable"
LONGEST = 15  # characters of a name in the list
SHOW = {"All": None, "To do": (State.EMPTY, State.PROPOSED, State.EDITED), "Confirmed": (State.CONFIRMED,)}


class ImageList:
    """The list of images, or of scans in a folder of volumes.

    Args:
        workspace: the folder.
    """

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self._unmade = Image.new("RGB", (THUMBNAIL, THUMBNAIL), (128, 128, 128))
        self._unreadable = Image.new("RGB", (THUMBNAIL, THUMBNAIL), (160, 40, 40))
        self._short = _shortened(list(workspace.scans) or workspace.names)
        self._long = {short: name for name, short in self._short.items()}

    def sheet(self, show: str, number: float | None) -> tuple[Any, str, int]:
        """Return one sheet at once; thumbnails that are not made yet are grey."""
        entries, number, last = self._entries(show, number)
        workspace = self.workspace
        items = [(for_browser(self._picture(one)), self.caption(one)) for one in entries]
        unit = "slices" if workspace.scans else "images"
        done = len(workspace.confirmed())
        text = f"**{done} of {len(workspace.names)} {unit} confirmed**" + (
            f" · sheet {number} of {last}" if last > 1 else ""
        )
        text += self._problems()
        return gr.update(value=items, selected_index=None), text, number

    def fill(self, show: str, number: float | None) -> Iterator[tuple[Any, str, int]]:
        """Yield one sheet at once, and again while its thumbnails are made."""
        yield self.sheet(show, number)
        entries, number, _ = self._entries(show, number)
        covers = {one: self._cover(one) for one in entries}
        unmade = [
            one
            for one, cover in covers.items()
            if self.workspace.kept_thumbnail(cover) is None and not self.workspace.is_still_unusable(cover)
        ]
        shown = time.monotonic()
        for one in unmade:
            with self.workspace.noting(covers[one]):
                if self.workspace.problem(covers[one]):
                    self.workspace.read(covers[one])  # the thumbnail alone does not show that it was mended
                self.workspace.thumbnail(covers[one], glance=True)
            if time.monotonic() - shown > OFTEN:
                yield self.sheet(show, number)
                shown = time.monotonic()
        if unmade:
            yield self.sheet(show, number)

    def named(self, caption: str) -> str:
        """Return the image to open for a clicked caption; for a scan, the slice to look at next."""
        name = self._long[caption.split("\n")[0]]
        slices = self.workspace.scans.get(name)
        return name if slices is None else self._next_slice(slices)

    def caption(self, one: str) -> str:
        """Describe an image or a scan in two or three lines; a long name loses its middle."""
        name = self._short[one]
        slices = self.workspace.scans.get(one)
        if self.workspace.problem(self._cover(one)):
            return f"{name}\n{UNUSABLE}"
        if slices is None:
            return f"{name}\n{MARKS[self.workspace.state(one)]}{self._forecast([one])}"
        done = sum(self.workspace.state(name) is State.CONFIRMED for name in slices)
        return (
            f"{name}\n{'●' if done == len(slices) else '◐' if done else '○'} {done} of {len(slices)}"
            + self._forecast(slices)
        )

    def state_line(self, name: str) -> str:
        """Describe the state of an image in Markdown."""
        return f"**{name}** · {MARKS[self.workspace.state(name)]}"

    def _picture(self, one: str) -> Image.Image:
        """Return the small picture of an entry; grey while it is made, red if the image cannot be used."""
        if self.workspace.problem(self._cover(one)):
            return self._unreadable
        return self.workspace.kept_thumbnail(self._cover(one)) or self._unmade

    def _problems(self) -> str:
        """Explain in Markdown which images cannot be used."""
        problems = list(self.workspace.problems.all().items())
        own = f"{self.workspace.folder}{os.sep}"  # every file lies in it
        lines = [f"\n\n✕ {html.escape(reason.replace(own, ''))}" for _, reason in problems[:NAMED]]
        more = f"\n\n✕ {len(problems) - NAMED} more cannot be used" if len(problems) > NAMED else ""
        return "".join(lines) + more

    def _forecast(self, names: list[str]) -> str:
        """Describe the lowest forecast of images that are not confirmed."""
        open_ = [name for name in names if self.workspace.state(name) is not State.CONFIRMED]
        found = [forecast for name in open_ if (forecast := self.workspace.forecast(name)) is not None]
        return f"\nDice ~{min(found):.2f}" if found else ""

    def _entries(self, show: str, number: float | None) -> tuple[list[str], int, int]:
        """Return the entries of a sheet, its number and the number of the last one."""
        wanted, workspace = SHOW[show], self.workspace
        names = [name for name in workspace.order() if wanted is None or workspace.state(name) in wanted]
        if workspace.scans:
            names = list(dict.fromkeys(workspace.files.scan_of(name) for name in names))
        last = max(1, -(-len(names) // SHEET))
        number = min(max(1, int(number or 1)), last)
        return names[(number - 1) * SHEET : number * SHEET], number, last

    def _cover(self, one: str) -> str:
        """Return the image whose thumbnail represents an entry; for a scan, the middle slice."""
        slices = self.workspace.scans.get(one)
        return one if slices is None else slices[len(slices) // 2]

    def _next_slice(self, slices: list[str]) -> str:
        """Return the slice with the lowest forecast; in an untouched scan, the middle slice."""
        first = self.workspace.order(slices)[0]
        untouched = all(self.workspace.state(name) is State.EMPTY for name in slices)
        return slices[len(slices) // 2] if untouched else first


def _shortened(names: list[str]) -> dict[str, str]:
    """Return short forms of names by name; two long names that would look alike stay as they are."""
    short = {name: _without_middle(name) for name in names}
    number = Counter(short.values())
    return {name: one if number[one] == 1 else name for name, one in short.items()}


def _without_middle(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[:5]}…{name[-(LONGEST - 6) :]}"
