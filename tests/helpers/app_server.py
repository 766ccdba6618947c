"""The page served in a thread of the test, with a model that is quick enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from tests.helpers.stand_in import Brightness
from universeg_jax.app.server import Gate, launch_options, private_cache


@contextmanager
def serve(folder: Path, *, gate: Gate | None = None, prompter=None, model=None) -> Iterator[SimpleNamespace]:
    """Serve a folder; yields its url, its workspace and its private cache."""
    with private_cache() as cache:
        import gradio as gr

        from universeg_jax.app.events import Events
        from universeg_jax.app.page import CSS, FONT, FONT_MONO, build
        from universeg_jax.app.propose import Proposer
        from universeg_jax.app.workspace import Workspace
        from universeg_jax.segment.segmenter import Segmenter

        workspace = Workspace(folder)
        proposer = Proposer(workspace, model or (lambda: Segmenter(Brightness())))
        proposer.start()
        blocks = build(Events(workspace, proposer, prompter))
        theme = gr.themes.Default(font=FONT, font_mono=FONT_MONO)
        options = launch_options("127.0.0.1", None, gate)
        _, url, _ = blocks.queue(default_concurrency_limit=1).launch(
            **options, theme=theme, css=CSS, prevent_thread_lock=True
        )
        try:
            yield SimpleNamespace(url=url, workspace=workspace, cache=cache)
        finally:
            proposer.stop()
            blocks.close()
