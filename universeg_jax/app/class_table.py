"""The table of classes on the page: names, colours, and the choice of a class for a click."""

import html

import gradio as gr

from universeg_jax.app import editor
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError


class ClassTable:
    """Names and colours of classes, as components show them.

    Args:
        workspace: the folder.
    """

    def __init__(self, workspace: Workspace):
        self.workspace = workspace

    def rows(self) -> list[list]:
        """Return value and name of each class."""
        return [[value, name] for value, name in self.workspace.classes.items()]

    def choices(self) -> list[tuple[str, int]]:
        """Return name and value of each class."""
        return [(name, value) for value, name in self.workspace.classes.items()]

    def first(self) -> int:
        """Return the value of the first class."""
        return next(iter(self.workspace.classes))

    def legend(self) -> str:
        """Return the names with their colours as HTML."""
        colours = self.workspace.colours
        return "<br>".join(
            f'<span style="color:{colours[value]}">■</span> {html.escape(name)}'
            for value, name in self.workspace.classes.items()
        )

    def rename(self, rows, opacity: float) -> tuple:
        """Take over the names of an edited table."""
        try:
            for value, name in rows.values.tolist():
                self.workspace.name_class(int(value), str(name))
        except (InputError, ValueError) as error:
            raise gr.Error(str(error)) from None
        return self._shown(opacity)

    def add(self, opacity: float) -> tuple:
        """Add a class."""
        try:
            self.workspace.add_class()
        except InputError as error:
            raise gr.Error(str(error)) from None
        return self._shown(opacity)

    def _shown(self, opacity: float) -> tuple:
        brush = gr.update(brush=editor.brush(self.workspace.colours, opacity))
        return self.rows(), self.legend(), gr.update(choices=self.choices()), brush
