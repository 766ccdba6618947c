"""Write and read folders of weights: parameters as Orbax stores them, and their description in JSON.

FOLDER/universeg.json   configuration, provenance, versions, checksum
FOLDER/parameters/      an Orbax checkpoint of {name: array}
"""

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from universeg_jax.errors import WeightsError, listing
from universeg_jax.util.files import Sha256, whole_folder
from universeg_jax.util.json_files import read_json, write_json
from universeg_jax.weights.mapping import blueprint, get_parameters, set_parameters
from universeg_jax.weights.names import Network
from universeg_jax.weights.networks import NETWORKS, Model, network_named, network_of

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
        folder: folder to write; its parents are made.
        provenance: origin of the weights, as JSON can hold it.
        overwrite: replace a folder of weights that is there.

    Raises:
        WeightsError: the folder exists, cannot be written, or the cross activation is not one of ACTIVATIONS.
    """
    import orbax.checkpoint as ocp  # slow to import, and needed here only

    parameters = {name: np.asarray(value, np.float32) for name, value in get_parameters(model).items()}
    description = {
        "format": FORMAT,
        "model": type(model).__name__,
        "config": config_to_json(model.config),
        "provenance": dict(provenance or {}),
        "versions": {name: version(name) for name in ("jax", "flax", "orbax-checkpoint")},
    }
    with new_folder(folder, overwrite=overwrite) as new:
        new.mkdir()
        try:
            with _no_tracebacks(), ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
                checkpointer.save(new / PARAMETERS, parameters)  # the block ends when all is written
        except Exception as error:  # a full disk, as TensorStore reports it
            raise WeightsError(f"{folder}: the parameters cannot be written: {error}") from error
        # It holds the path of the folder, which is private and soon wrong; nothing reads it.
        (new / PARAMETERS / "commit_success.txt").unlink(missing_ok=True)
        description["sha256"] = _sha256(new / PARAMETERS)
        write_json(new / DESCRIPTION, description)


def load(folder: str | os.PathLike) -> Model:
    """Read a model that `save` wrote, onto the default device.

    Raises:
        WeightsError: the folder does not exist, holds no weights, or is damaged or incomplete.
    """
    import orbax.checkpoint as ocp

    folder = Path(folder).absolute()
    description = read_description(folder)
    path = folder / DESCRIPTION
    network = _network(description["model"], path)
    try:
        model = blueprint(network.model, network.from_json(description["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: the configuration makes no sense: {error}") from error
    found, recorded = _sha256(folder / PARAMETERS), description["sha256"]
    damaged = sorted(name for name in found | recorded if found.get(name) != recorded.get(name))
    if damaged or not recorded:
        raise WeightsError(
            f"{folder}: missing, damaged or without checksum: {listing(damaged) or 'all files'}; copy or convert the "
            "weights again"
        )
    try:
        with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
            set_parameters(model, checkpointer.restore(folder / PARAMETERS, get_parameters(model)))
    except Exception as error:  # Orbax and TensorStore have many kinds
        raise WeightsError(f"{folder}: the parameters cannot be read: {error}") from error
    return model


def read_description(folder: str | os.PathLike) -> dict[str, Any]:
    """Read the description of a folder of weights.

    Raises:
        WeightsError: the folder holds no weights, or has a later format.
    """
    path = Path(folder) / DESCRIPTION
    if not os.path.lexists(path):
        raise WeightsError(f"{folder}: is not a folder of weights: it holds no {DESCRIPTION}")
    description = read_json(path, advice="copy or convert the weights again", error=WeightsError)
    if not isinstance(description, dict):
        raise WeightsError(f"{path}: is damaged: it holds a {type(description).__name__}")
    _network(description.get("model"), path)
    if description.get("format") != FORMAT:
        raise WeightsError(f"{path}: has format {description.get('format')}, this version reads {FORMAT}: update it")
    if not all(isinstance(description.get(part), dict) for part in ("config", "provenance", "sha256")):
        raise WeightsError(f"{path}: is incomplete")
    return description


@contextmanager
def new_folder(folder: str | os.PathLike, *, overwrite: bool = False, description: str = DESCRIPTION) -> Iterator[Path]:
    """Yield a path to write a folder of weights at; the folder takes its name when the block ends.

    On any exception, Ctrl-C included, nothing is left of the new folder, and an older one is as it was.

    Raises:
        WeightsError: the folder exists and overwrite is False, or it does not hold weights; it cannot be written.
    """
    folder = Path(folder).absolute()
    if os.path.lexists(folder):
        if not overwrite:
            raise WeightsError(f"{folder}: exists; choose another folder, or pass overwrite to replace it")
        if not (folder / description).is_file():
            raise WeightsError(f"{folder}: holds no weights, so it is not replaced; choose another folder")
    try:
        with whole_folder(folder, replace=overwrite) as new:
            yield new
    except OSError as error:
        raise WeightsError(f"{folder}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _no_tracebacks() -> Iterator[None]:
    """Keep Orbax and TensorStore from printing the traceback of an error that is raised anyway.

    Orbax ends its event loop at the first parameter that cannot be written. Others fail a moment later, and Python
    reports that the loop is closed.
    """
    before, report = logging.root.manager.disable, sys.unraisablehook

    def report_others(found: Any) -> None:
        if "Event loop is closed" not in str(found.exc_value):
            report(found)

    logging.disable(logging.ERROR)
    sys.unraisablehook = report_others
    try:
        yield
    except Exception:
        time.sleep(0.2)  # for the other parameters
        raise
    finally:
        logging.disable(before)
        sys.unraisablehook = report


def _sha256(folder: Path) -> dict[str, str]:
    """Compute the digest of every file in a folder, by its relative path. TensorStore misses some damage."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): Sha256.of(path).value for path in files}


def _alone() -> Any:
    """Make options for Orbax, so that it does not wait for other processes of a `jax.distributed` program."""
    import orbax.checkpoint as ocp

    this = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"process{this}"
    )


def config_to_json(config: Any) -> dict[str, Any]:
    """Make the JSON of a configuration, as a folder of weights holds it.

    Raises:
        WeightsError: for an activation without a name.
    """
    return network_of(config).to_json(config)


def _network(name: Any, path: Path) -> Network:
    found = network_named(name)
    if found is None:
        known = ", ".join(network.model.__name__ for network in NETWORKS)
        raise WeightsError(f"{path}: does not describe the weights of a model that this version knows: {known}")
    return found
