"""Low-rank adapters (LoRA, Hu et al., 2021) of the linear layers in transformer blocks.

A kernel W becomes W + scale * down @ up. The base network stays frozen; adapters are saved alone and merged on load.

FOLDER/lora.json         name of the base weights, its digest, rank, checksum
FOLDER/adapters.npz      arrays by name
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from universeg_jax.errors import WeightsError
from universeg_jax.shapes import Array
from universeg_jax.weights.mapping import get_parameters, set_parameters
from universeg_jax.weights.networks import Model
from universeg_jax.weights.store import new_folder

FORMAT = 1
DESCRIPTION = "lora.json"
ADAPTERS = "adapters.npz"
LAYERS = ("qkv", "out", "widen", "narrow")
"""Linear layers that get adapters: two of attention, two of the MLP."""

SCALE = 1.0
DOWN, UP = ".lora_down", ".lora_up"

Parameters = Mapping[str, Array]


def adapted_kernels(parameters: Parameters, *, prefix: str = "") -> list[str]:
    """Return the names of the kernels that get adapters: matrices of `LAYERS` inside blocks.

    Args:
        parameters: arrays of the network by name.
        prefix: start of the names, such as "image_encoder.".
    """
    return [
        name
        for name, value in parameters.items()
        if name.startswith(prefix) and name.endswith(".kernel") and value.ndim == 2 and name.split(".")[-2] in LAYERS
    ]


def initial_adapters(key: Array, parameters: Parameters, *, rank: int, prefix: str = "") -> dict[str, Array]:
    """Return adapters that change nothing yet: down is normal with deviation 1/rank, up is zero.

    Raises:
        WeightsError: no kernel gets an adapter, or the rank is larger than a side of a kernel.
    """
    names = adapted_kernels(parameters, prefix=prefix)
    if not names:
        raise WeightsError(f"rank={rank}: this network has no linear layers {', '.join(LAYERS)} for adapters")
    smallest = min(min(parameters[name].shape) for name in names)
    if not 1 <= rank <= smallest:
        raise WeightsError(f"rank={rank}: pass 1 to {smallest} for this network")
    adapters = {}
    for name, own in zip(names, jax.random.split(key, len(names)), strict=True):
        rows, columns = parameters[name].shape
        adapters[name + DOWN] = jax.random.normal(own, (rows, rank)) / rank
        adapters[name + UP] = jnp.zeros((rank, columns))
    return adapters


def merge(parameters: Parameters, adapters: Parameters) -> dict[str, Array]:
    """Return the parameters with the adapters added. It can be differentiated in the adapters.

    Raises:
        WeightsError: an adapter fits no kernel.
    """
    merged = dict(parameters)
    for down in (name for name in adapters if name.endswith(DOWN)):
        name = down.removesuffix(DOWN)
        change = (adapters[down].shape[0], adapters[name + UP].shape[1])
        if name not in parameters or parameters[name].shape != change:
            found = "no such kernel" if name not in parameters else f"a kernel {parameters[name].shape}"
            raise WeightsError(
                f"adapter {name} is for a kernel {change}, the network has {found}; load its base weights"
            )
        merged[name] = parameters[name] + SCALE * (adapters[down] @ adapters[name + UP])
    return merged


def save_lora(
    adapters: Parameters,
    folder: str | os.PathLike,
    *,
    base: str,
    model: Model,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write adapters as a small folder.

    Args:
        adapters: arrays by name.
        folder: folder to write; it must not exist.
        base: name or path of the base weights, which loading needs.
        model: the base model, for its digest.
        provenance: origin of the adapters, as JSON can hold it.
        overwrite: replace a folder of adapters or weights.

    Raises:
        WeightsError: the folder exists or cannot be written.
    """
    with new_folder(folder, overwrite=overwrite, description=DESCRIPTION) as new:
        new.mkdir()
        with (new / ADAPTERS).open("wb") as stream:
            np.savez(stream, **{name: np.asarray(value, np.float32) for name, value in adapters.items()})
        description = {
            "format": FORMAT,
            "base": base,
            "base_digest": digest_of(model),
            "provenance": dict(provenance or {}),
            "sha256": hashlib.sha256((new / ADAPTERS).read_bytes()).hexdigest(),
        }
        (new / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def is_lora(folder: str | os.PathLike) -> bool:
    """Tell whether a folder holds adapters."""
    return (Path(folder) / DESCRIPTION).is_file()


def load_lora(folder: str | os.PathLike, *, base: Model | None = None) -> Model:
    """Load the base network with the adapters of a folder merged into it.

    Args:
        folder: written by `save_lora`.
        base: the base model; None loads it by the name in the folder. It is changed in place.

    Raises:
        WeightsError: the folder is damaged, or the base is another network than the adapters were trained on.
    """
    from universeg_jax.weights.loading import load_network

    folder = Path(folder)
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        content = (folder / ADAPTERS).read_bytes()
        known = {name: description[name] for name in ("format", "base", "base_digest", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder}: is no folder of adapters ({error})") from None
    if known["format"] != FORMAT:
        raise WeightsError(f"{folder}: has format {known['format']}, this version reads {FORMAT}; update it")
    if hashlib.sha256(content).hexdigest() != known["sha256"]:
        raise WeightsError(f"{folder / ADAPTERS}: is damaged; copy the folder again, or train again")
    with np.load(folder / ADAPTERS, allow_pickle=False) as arrays:
        adapters = {name: arrays[name] for name in arrays.files}
    model = load_network(known["base"]) if base is None else base
    if (found := digest_of(model)) != known["base_digest"]:
        raise WeightsError(
            f"{folder}: holds adapters for {known['base']} with digest {known['base_digest']}; this network has digest "
            f"{found}. Pass the base weights that they were trained on"
        )
    set_parameters(model, merge(get_parameters(model), adapters))
    return model


def digest_of(model: Model) -> str:
    """Return a short digest of all parameters of a model."""
    digest = hashlib.sha256()
    for name, value in sorted(get_parameters(model).items()):
        digest.update(name.encode() + np.ascontiguousarray(np.asarray(value, np.float32)).tobytes())
    return digest.hexdigest()[:16]
