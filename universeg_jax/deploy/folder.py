"""The folder an export writes: networks, README.md, export.json, and the model card of weights that have one."""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from universeg_jax.deploy.interface import INPUTS, input_shapes
from universeg_jax.deploy.jax_export import to_jax
from universeg_jax.deploy.onnx_export import to_onnx
from universeg_jax.deploy.usage import ABOUT, WITH_JAX, WITH_ONNXRUNTIME
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.weights.named import Known, card, known_weights
from universeg_jax.weights.store import read_description

README, DESCRIPTION, CARD = "README.md", "export.json", "MODEL_CARD.md"


@dataclass(frozen=True)
class Format:
    """A kind of exported network.

    Attributes:
        file: what it is written as.
        packages: which must be installed to write it.
        make: (model, *, size) -> content of the file.
        usage: how to run it, in Markdown.
    """

    file: str
    packages: tuple[str, ...]
    make: Callable[..., bytes]
    usage: str


JAX = Format("universeg.jax", ("jax", "flatbuffers"), to_jax, WITH_JAX)
ONNX = Format("universeg.onnx", ("jax", "jax2onnx", "onnxruntime"), to_onnx, WITH_ONNXRUNTIME)


def check_installed(formats: Sequence[Format]) -> None:
    """Raise an InputError where a package is missing that writing these formats needs."""
    for kind in formats:
        missing = [package for package in kind.packages if importlib.util.find_spec(package) is None]
        if missing:
            raise InputError(
                f'{kind.file} cannot be written without {", ".join(missing)}: pip install "universeg-jax[export]"'
            )


def output_files(weights: str, formats: Sequence[Format]) -> list[str]:
    """The names of the files that `write_export` writes."""
    return [*(kind.file for kind in formats), README, DESCRIPTION, *([CARD] if _known(weights) else [])]


def write_export(folder: Path, model: UniverSeg, weights: str, formats: Sequence[Format], *, size: int) -> None:
    """Export a network and say what it is.

    Args:
        folder: where to, which exists.
        weights: where the model's weights are from, as `universeg_jax.weights.load` takes it.
        size: side in pixels of the images it will take.

    Raises:
        InputError: the network cannot take images of this size, or cannot be translated.
    """
    provenance = _provenance(weights)
    contents = {kind.file: kind.make(model, size=size) for kind in formats}
    packages = sorted({package for kind in formats for package in kind.packages})
    shapes = ["({})".format(",".join(map(str, given.shape))) for given in input_shapes(size)]
    description = {
        "model": "UniverSeg",
        "weights": provenance,
        "inputs": dict(zip(INPUTS, shapes, strict=True)),
        "sha256": {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()},
        "versions": {package: version(package) for package in packages},
    }
    about = ABOUT.substitute(size=size, weights=provenance["name"], licence=provenance.get("licence", "unknown"))
    texts = {
        README: about + "".join(kind.usage for kind in formats),
        DESCRIPTION: json.dumps(description, indent=2, ensure_ascii=False) + "\n",
    }
    if _known(weights):
        texts[CARD] = card(weights)
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")


def _known(weights: str) -> Known | None:
    return next((known for known in known_weights() if known.name == weights), None)


def _provenance(weights: str) -> dict[str, Any]:
    known, path = _known(weights), Path(weights).resolve()
    if known:
        return {"name": known.name, "licence": known.licence}
    if path.is_dir():
        return {"name": path.name, **read_description(path)["provenance"]}
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
