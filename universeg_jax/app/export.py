"""Pack what was labelled into one zip file: masks, names of classes, states, and an overview to look at."""

import json
import zipfile
from pathlib import Path

from universeg_jax.app.states import State
from universeg_jax.app.workspace import Workspace
from universeg_jax.errors import InputError
from universeg_jax.io.overview import Result, Section, write_overview

SHOWN = 24  # images on the overview


def export_zip(workspace: Workspace, folder: Path) -> Path:
    """Write NAME.zip into a folder, and return its path.

    The zip holds images and masks of all images with a saved mask, so that it is a support folder when it is unpacked.

    Raises:
        InputError: no mask is saved.
    """
    saved = [name for name in workspace.names if workspace.state(name) in (State.EDITED, State.CONFIRMED)]
    if not saved:
        raise InputError(f"{workspace.folder}: no mask is saved yet; confirm an image first")
    shown = [Result(name, workspace.image(name), workspace.mask(name)) for name in saved[:SHOWN]]
    note = f"{len(workspace.confirmed())} of {len(workspace.names)} images confirmed"
    title = workspace.folder.resolve().name
    write_overview(folder / "overview.png", [Section(title, note, workspace.classes, [], shown)])
    states = {name: {"state": workspace.state(name).value, "forecast": workspace.forecast(name)} for name in saved}
    file = folder / f"{title or 'labels'}.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in saved:
            for kind, path in (("images", workspace.image_file(name)), ("masks", workspace.mask_file(name))):
                packed.write(path, f"{kind}/{path.name}")
        if (workspace.folder / "classes.json").is_file():
            packed.write(workspace.folder / "classes.json", "classes.json")
        packed.write(folder / "overview.png", "overview.png")
        packed.writestr("states.json", json.dumps(states, indent=1, ensure_ascii=False))
    return file
