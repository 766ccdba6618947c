"""The list of the page: images or scans with their state and forecast, a sheet at a time."""

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from universeg_jax.app.pictures import THUMBNAIL, for_browser
from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError

SHEET = 24  # entries at once
OFTEN = 0.5  # seconds between two looks at thumbnails that are being made
MARKS = {State.EMPTY: "○ empty", State.PROPOSED: "◐ proposed", State.EDITED: "◐ edited", State.CONFIRMED: "● confirmed"}
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

    def sheet(self, show: str, number: float | None) -> tuple[Any, str, int]:
        """Return one sheet at once; thumbnails that are not made yet are grey."""
        entries, number, last = self._entries(show, number)
        workspace = self.workspace
        small = [workspace.kept_thumbnail(self._cover(one)) or self._unmade for one in entries]
        items = [(for_browser(picture), self.caption(one)) for picture, one in zip(small, entries, strict=True)]
        unit = "slices" if workspace.scans else "images"
        done = len(workspace.confirmed())
        text = f"**{done} of {len(workspace.names)} {unit} confirmed**" + (
            f" · sheet {number} of {last}" if last > 1 else ""
        )
        return gr.update(value=items, selected_index=None), text, number

    def fill(self, show: str, number: float | None) -> Iterator[tuple[Any, str, int]]:
        """Yield one sheet at once, and again while its thumbnails are made."""
        yield self.sheet(show, number)
        entries, number, _ = self._entries(show, number)
        unmade = [one for one in entries if self.workspace.kept_thumbnail(self._cover(one)) is None]
        shown, unreadable = time.monotonic(), {}
        for one in unmade:
            try:
                self.workspace.thumbnail(self._cover(one), glance=True)
            except InputError:
                unreadable[one] = (for_browser(self._unreadable), f"{one}\ncannot be read")
            if time.monotonic() - shown > OFTEN:
                yield self.sheet(show, number)
                shown = time.monotonic()
        if unmade:
            gallery, text, number = self.sheet(show, number)
            items = [unreadable.get(one, item) for one, item in zip(entries, gallery["value"], strict=True)]
            yield gr.update(value=items, selected_index=None), text, number

    def named(self, caption: str) -> str:
        """Return the image to open for a caption that was clicked; of a scan the slice to look at next."""
        name = caption.split("\n")[0]
        slices = self.workspace.scans.get(name)
        return name if slices is None else self._next_slice(slices)

    def caption(self, one: str) -> str:
        """Describe an image or a scan in two lines."""
        slices = self.workspace.scans.get(one)
        if slices is None:
            return f"{one}\n{MARKS[self.workspace.state(one)]}{self._forecast([one])}"
        done = sum(self.workspace.state(name) is State.CONFIRMED for name in slices)
        return (
            f"{one}\n{'●' if done == len(slices) else '◐' if done else '○'} {done} of {len(slices)}"
            + self._forecast(slices)
        )

    def state_line(self, name: str) -> str:
        """Describe the state of an image in Markdown."""
        return f"**{name}** · {MARKS[self.workspace.state(name)]}"

    def _forecast(self, names: list[str]) -> str:
        """Describe the lowest forecast of images that are not confirmed."""
        open_ = [name for name in names if self.workspace.state(name) is not State.CONFIRMED]
        found = [forecast for name in open_ if (forecast := self.workspace.forecast(name)) is not None]
        return f" · Dice ~{min(found):.2f}" if found else ""

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
        """Return the image whose thumbnail stands for an entry: of a scan the slice in the middle."""
        slices = self.workspace.scans.get(one)
        return one if slices is None else slices[len(slices) // 2]

    def _next_slice(self, slices: list[str]) -> str:
        """Return the slice with the lowest forecast; in an untouched scan the one in the middle."""
        first = self.workspace.order(slices)[0]
        untouched = all(self.workspace.state(name) is State.EMPTY for name in slices)
        return slices[len(slices) // 2] if untouched else first
