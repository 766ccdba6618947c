"""`universeg-jax app`: label a folder of images in the browser, with proposals from the images labelled so far."""

import argparse
import shutil
import signal
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

DESCRIPTION = """Open a page in the browser: paint masks on a few images, let the model propose the others, correct
what is wrong. Masks are saved in FOLDER/masks/, and FOLDER is a support folder for `universeg-jax predict`."""


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("app", help="label images in the browser", description=DESCRIPTION)
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="pictures or volumes, or a folder that holds images/"
    )
    parser.add_argument("--demo", action="store_true", help="label the shipped nuclei, in a temporary folder")
    parser.add_argument("-m", "--model", default="auto", help="a known name, or a path (default: %(default)s)")
    parser.add_argument(
        "--axis",
        choices=("axial", "coronal", "sagittal"),
        help="axis to cut volumes along (default: the axis of the thickest slices)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve (default: %(default)s; others need a password)"
    )
    parser.add_argument("--port", type=int, help="port to serve (default: the first free one from 7860)")
    parser.add_argument("--password", help="password to enter (default: none on 127.0.0.1, else a random one)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    parser.set_defaults(run=run, extra="app")


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        InputError: no folder, or one that cannot be labelled.
    """
    from universeg_jax.errors import InputError
    from universeg_jax.util.checks import check_number

    if arguments.demo == (arguments.folder is not None):
        raise InputError("pass a FOLDER of images, or --demo for the shipped nuclei")
    if arguments.port is not None:
        check_number("--port", arguments.port, least=1, most=65535, whole=True)
    from universeg_jax.app.server import private_cache

    with suppress(KeyboardInterrupt), ExitStack() as stack:
        stack.enter_context(private_cache())  # before Gradio is imported
        folder = _demo_folder(stack) if arguments.demo else arguments.folder
        _serve(arguments, folder, stack)


def _serve(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> None:
    from universeg_jax.app.workspace import Workspace
    from universeg_jax.errors import InputError
    from universeg_jax.util.files import locked

    if folder.is_dir():
        try:
            stack.enter_context(locked(folder))
        except InputError:
            raise InputError(f"{folder}: is open in another page; close that one first") from None
    workspace = Workspace(folder, axis=arguments.axis or "")
    workspace.remove_unfinished()
    import gradio as gr

    from universeg_jax.app.clicks import lazy_prompter
    from universeg_jax.app.events import Events
    from universeg_jax.app.page import CSS, FONT, FONT_MONO, build
    from universeg_jax.app.propose import Proposer, segmenter_for
    from universeg_jax.app.server import USER, gate_for, launch_options
    from universeg_jax.segment.auto import AUTO

    gate = gate_for(arguments.host, arguments.password)
    proposer = Proposer(workspace, segmenter_for(workspace, arguments.model))
    page = build(Events(workspace, proposer, lazy_prompter(workspace)))
    if arguments.model != AUTO:
        proposer.segmenter()  # a wrong name or path is refused before the page opens
    proposer.start()
    stack.callback(proposer.stop)
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # a closed terminal ends the page as Ctrl-C does
        signal.signal(getattr(signal, name), signal.default_int_handler)
    theme = gr.themes.Default(font=FONT, font_mono=FONT_MONO)
    options = launch_options(arguments.host, arguments.port, gate)
    _, url, _ = page.queue(default_concurrency_limit=1).launch(
        **options, theme=theme, css=CSS, inbrowser=not arguments.no_browser, prevent_thread_lock=True
    )
    print(f"{folder}: {len(workspace.names)} images at {url}", flush=True)
    if gate is not None:
        print(f"user {USER}, password {gate.password}", flush=True)
    print("Ctrl-C ends. Everything that was confirmed or left is saved.", flush=True)
    page.block_thread()


def _demo_folder(stack: ExitStack) -> Path:
    """Copy the shipped nuclei into a temporary folder: two labelled, the others without masks."""
    from importlib.resources import as_file, files

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="universeg-demo-")))
    with as_file(files("universeg_jax") / "assets" / "examples" / "nuclei") as nuclei:
        for part in ("support/images", "targets"):
            for file in sorted((nuclei / part).iterdir()):
                (folder / "images").mkdir(exist_ok=True)
                shutil.copy(file, folder / "images" / f"{part.split('/')[0]}-{file.name}")
        masks = sorted((nuclei / "support" / "masks").iterdir())[:2]
        (folder / "masks").mkdir()
        for file in masks:
            shutil.copy(file, folder / "masks" / f"support-{file.name}")
    return folder
