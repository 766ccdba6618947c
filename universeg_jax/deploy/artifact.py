"""Folder of an exported network: network files, README.md, export.json and the model card."""

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
This network segments images of a task from labelled examples, the support set (Butoi et al., ICCV 2023,
https://arxiv.org/abs/2304.06131). Weights: $weights. Licence of the weights: $licence. It is not a medical device.

| input | shape | values, float32 |
|---|---|---|
| target | (B,$size,$size,1) | images to segment, grey, each min-max normalised to [0,1] |
| support_images | (S,$size,$size,1) | examples of one task, normalised in the same way |
| support_labels | (S,$size,$size,1) | their masks: 1 is foreground, 0 background; soft labels may lie between |
| support_mask | (S,) | 1 for every example; 0 leaves an example out, other numbers weight it |

B and S may be any number from 1. For images of another size, export the network again. The result is `logits`
(B,$size,$size,1). They are positive where foreground is likelier than background. The probability of foreground is
`1 / (1 + exp(-logits))`. Arrays to try it with:

```python
import numpy as np

target = np.random.rand(2, $size, $size, 1).astype(np.float32)
support_images = np.random.rand(5, $size, $size, 1).astype(np.float32)
support_labels = (support_images > 0.5).astype(np.float32)
support_mask = np.ones(5, np.float32)
```

Read the files with this function. It compares a file with its checksum in export.json, and refuses damaged files:

```python
import hashlib
import json


def read(name):
    with open("export.json", encoding="utf-8") as file:
        expected = json.load(file)["sha256"][name]
    with open(name, "rb") as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(f"{name}: is damaged, or belongs to another export: copy the whole folder again")
    return content
```
""")

WITH_JAX = """
## universeg.jax: with JAX
It needs `pip install jax flatbuffers` and nothing else. It runs on CPUs, NVIDIA GPUs and TPUs, and compiles itself for
each new B and S.

```python
from jax import export

segment = export.deserialize(bytearray(read("universeg.jax")))
logits = segment.call(target, support_images, support_labels, support_mask)
masks = logits > 0
```

Later versions of JAX read the file for at least six months (https://docs.jax.dev/en/latest/export/export.html).
export.json names the version that wrote it. Products have the default precision of the device, which is lower than
float32 on TPUs and recent GPUs. Memory grows with S on GPUs and TPUs, and hardly on CPUs.
"""

WITH_ONNXRUNTIME = """
## universeg.onnx: with onnxruntime
It needs `pip install onnxruntime`.

```python
import onnxruntime

session = onnxruntime.InferenceSession(read("universeg.onnx"))
support = {"support_images": support_images, "support_labels": support_labels, "support_mask": support_mask}
(logits,) = session.run(["logits"], {"target": target, **support})
masks = logits > 0
```

Memory grows with B times S: about 35 MB for each pair in the released network at 128x128. If memory is short, pass the
images one by one.
"""


README, DESCRIPTION, CARD = "README.md", "export.json", "MODEL_CARD.md"


@dataclass(frozen=True)
class Format:
    """File format of an exported network.

    Attributes:
        file: name of the file.
        packages: packages needed to write it.
        make: function (model, *, size) that returns the content of the file.
        usage: instructions to run it, in Markdown.
    """

    file: str
    packages: tuple[str, ...]
    make: Callable[..., bytes]
    usage: str


JAX = Format("universeg.jax", ("jax", "flatbuffers"), to_jax, WITH_JAX)
ONNX = Format("universeg.onnx", ("jax", "jax2onnx", "onnxruntime"), to_onnx, WITH_ONNXRUNTIME)


def check_installed(formats: Sequence[Format]) -> None:
    """Raise an InputError if a package is missing that these formats need."""
    for kind in formats:
        missing = [package for package in kind.packages if importlib.util.find_spec(package) is None]
        if missing:
            raise InputError(
                f"{kind.file} cannot be written without {', '.join(missing)}: pip install {' '.join(missing)}"
            )


def output_files(weights: str, formats: Sequence[Format]) -> list[str]:
    """List the names of the files that `write_export` writes."""
    return [*(kind.file for kind in formats), README, DESCRIPTION, *([CARD] if _known(weights) else [])]


def write_export(folder: Path, model: UniverSeg, weights: str, formats: Sequence[Format], *, size: int) -> None:
    """Export a network with its description.

    Args:
        folder: existing folder to write to.
        model: the network.
        weights: name or path of the weights of the model, as `universeg_jax.weights.load` accepts it.
        formats: formats to write.
        size: side in pixels of the images that the exported network accepts.

    Raises:
        InputError: the network cannot process images of this size, or the translation fails.
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
