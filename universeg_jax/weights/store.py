"""Weights in a folder: parameters as Orbax writes them, and what they are in JSON beside them.

FOLDER/universeg.json   configuration, provenance, versions, checksum
FOLDER/parameters/      an Orbax checkpoint of {name: array}
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.util.files import whole_folder
from universeg_jax.util.json_files import read_json, write_json
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters
from universeg_jax.weights.networks import ARCHITECTURES, Model, ModelConfig, Network, architecture_of

FORMAT = 1
DESCRIPTION = "universeg.json"
PARAMETERS = "parameters"


def save(
    model: Model,
    folder: str | os.PathLike,
    *,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model, in float32. The folder appears when it is complete.

    Args:
        folder: where to; its parents are made.
        provenance: where the weights come from, as JSON can hold it.
        overwrite: replace a folder of weights that is there.

    Raises:
        WeightsError: the folder exists, cannot be written, or the cross activation is not one of ACTIVATIONS.
    """
    import orbax.checkpoint as ocp  # here because it is needed nowhere else and slow to import

    parameters = {name: np.asarray(value, np.float32) for name, value in get_parameters(model).items()}
    description = {
        "format": FORMAT,
        "model": architecture_of(model.config).name,
        "config": config_to_json(model.config),
        "provenance": dict(provenance or {}),
        "versions": {name: version(name) for name in ("jax", "flax", "orbax-checkpoint")},
    }
    with new_folder(folder, overwrite=overwrite) as new:
        new.mkdir()
        try:
            with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:  # left when all is written
                checkpointer.save(new / PARAMETERS, parameters)
        except Exception as error:  # a full disk, as TensorStore reports it
            raise WeightsError(f"{folder}: the parameters cannot be written: {error}") from error
        # It tells where the folder was written, which is nobody's business and soon wrong; nothing reads it.
        (new / PARAMETERS / "commit_success.txt").unlink(missing_ok=True)
        description["sha256"] = _sha256(new / PARAMETERS)
        write_json(new / DESCRIPTION, description)


def load(folder: str | os.PathLike) -> Model:
    """Read a model that `save` wrote, of the kind it was, onto the default device whatever it was saved from.

    Raises:
        WeightsError: the folder does not exist, is not one of weights, is damaged or incomplete.
    """
    import orbax.checkpoint as ocp

    folder = Path(folder).absolute()
    description = read_description(folder)
    path = folder / DESCRIPTION
    architecture = _architecture(description["model"], path)
    try:
        model = blueprint(architecture.model, architecture.from_json(description["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: the configuration makes no sense: {error}") from error
    found = _sha256(folder / PARAMETERS)
    damaged = [name for name, digest in description["sha256"].items() if found.get(name) != digest]
    if damaged:
        raise WeightsError(f"{folder}: missing or damaged: {', '.join(damaged)}; copy or convert the weights again")
    try:
        with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
            set_parameters(model, checkpointer.restore(folder / PARAMETERS, get_parameters(model)))
    except Exception as error:  # Orbax and TensorStore have many kinds
        raise WeightsError(f"{folder}: the parameters cannot be read: {error}") from error
    return model


def read_description(folder: str | os.PathLike) -> dict[str, Any]:
    """What a folder of weights says of itself.

    Raises:
        WeightsError: it is not such a folder, or of a later format.
    """
    path = Path(folder) / DESCRIPTION
    if not os.path.lexists(path):
        raise WeightsError(f"{folder}: is not a folder of weights: it holds no {DESCRIPTION}")
    description = read_json(path, advice="copy or convert the weights again", error=WeightsError)
    if not isinstance(description, dict):
        raise WeightsError(f"{path}: is damaged: it holds a {type(description).__name__}")
    _architecture(description.get("model"), path)
    if description.get("format") != FORMAT:
        raise WeightsError(f"{path}: has format {description.get('format')}, this version reads {FORMAT}: update it")
    if not all(isinstance(description.get(part), dict) for part in ("config", "provenance", "sha256")):
        raise WeightsError(f"{path}: is incomplete")
    return description


@contextmanager
def new_folder(folder: str | os.PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """A path to write a folder of weights at, which takes its name when the block is left without an exception.

    On any exception, Ctrl-C included, nothing is left of it, and a folder that was to be replaced is as it was.

    Raises:
        WeightsError: the folder exists and overwrite is False, or it does not hold weights; it cannot be written.
    """
    folder = Path(folder).absolute()
    if os.path.lexists(folder):
        if not overwrite:
            raise WeightsError(f"{folder}: exists; choose another folder, or pass overwrite to replace it")
        if not (folder / DESCRIPTION).is_file():
            raise WeightsError(f"{folder}: holds no weights, so it is not replaced; choose another folder")
    try:
        with whole_folder(folder) as new:
            yield new
    except OSError as error:
        raise WeightsError(f"{folder}: cannot be written: {error.strerror or error}") from error


def _sha256(folder: Path) -> dict[str, str]:
    """The digest of every file in a folder, by its path in it. TensorStore itself does not see every damage."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _alone() -> Any:
    """Options for Orbax, which otherwise waits for the other processes of a `jax.distributed` program."""
    import orbax.checkpoint as ocp

    this = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"process{this}"
    )


def config_to_json(config: ModelConfig) -> dict[str, Any]:
    """A configuration as a folder of weights holds it.

    Raises:
        WeightsError: for an activation without a name.
    """
    return architecture_of(config).to_json(config)


def _architecture(name: Any, path: Path) -> Network:
    found = next((kind for kind in ARCHITECTURES if kind.name == name), None)
    if found is None:
        known = ", ".join(kind.name for kind in ARCHITECTURES)
        raise WeightsError(f"{path}: does not describe the weights of a model that this version knows: {known}")
    return found
