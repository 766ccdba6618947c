"""The folder that an export writes: networks, README.md, export.json, and the model card."""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

from universeg_jax.deploy.formats import INPUTS, input_shapes, to_jax, to_onnx
from universeg_jax.errors import InputError
from universeg_jax.models.universeg import UniverSeg
from universeg_jax.weights.loading import NamedWeights, card, known_weights
from universeg_jax.weights.store import read_description

ABOUT = Template("""\
# An exported UniverSeg
Segments images of a task that is shown by labelled examples, the support set (Butoi et al., ICCV 2023,
https://arxiv.org/abs/2304.06131). Weights: $weights. Licence of the weights: $licence. Not a medical device.

| input | shape | values, float32 |
|---|---|---|
| target | (B,$size,$size,1) | images to segment, grey, each min-max normalised to [0,1] |
| support_images | (S,$size,$size,1) | examples of one task, normalised in the same way |
| support_labels | (S,$size,$size,1) | their masks: 1 is foreground, 0 background; soft labels may lie between |
| support_mask | (S,) | 1 for every example; 0 leaves one out, other weights count it for more or less |

B and S may be any number from 1; for images of another size, export again. The result, `logits` (B,$size,$size,1), is
positive where foreground is more likely than not; `1 / (1 + exp(-logits))` is its probability. Arrays to try:

```python
import numpy as np

target = np.random.rand(2, $size, $size, 1).astype(np.float32)
support_images = np.random.rand(5, $size, $size, 1).astype(np.float32)
support_labels = (support_images > 0.5).astype(np.float32)
support_mask = np.ones(5, np.float32)
```
""")

WITH_JAX = """
## universeg.jax: with JAX
Needs `pip install jax flatbuffers` and nothing else. Runs on CPUs, NVIDIA GPUs and TPUs, and compiles itself for each
new B and S.

```python
from jax import export

with open("universeg.jax", "rb") as file:
    segment = export.deserialize(bytearray(file.read()))
logits = segment.call(target, support_images, support_labels, support_mask)
masks = logits > 0
```

Later versions of JAX read it for at least six months (https://docs.jax.dev/en/latest/export/export.html); export.json
says which one wrote it. Products are taken in the processor's default precision, which on TPUs and recent GPUs is less
than float32's. On GPUs and TPUs memory grows with S, on CPUs hardly.
"""

WITH_ONNXRUNTIME = """
## universeg.onnx: with onnxruntime
Needs `pip install onnxruntime`.

```python
import onnxruntime

session = onnxruntime.InferenceSession("universeg.onnx")
support = {"support_images": support_images, "support_labels": support_labels, "support_mask": support_mask}
(logits,) = session.run(["logits"], {"target": target, **support})
masks = logits > 0
```

Every example of every image takes memory at once, in the released network at 128x128 about 35 MB: where it is short,
give the images one by one.
"""


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
                f"{kind.file} cannot be written without {', '.join(missing)}: pip install {' '.join(missing)}"
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


def _known(weights: str) -> NamedWeights | None:
    return next((known for known in known_weights() if known.name == weights), None)


def _provenance(weights: str) -> dict[str, Any]:
    known, path = _known(weights), Path(weights).resolve()
    if known:
        return {"name": known.name, "licence": known.licence}
    if path.is_dir():
        return {"name": path.name, **read_description(path)["provenance"]}
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
