"""The README.md that is written beside an exported network."""

from string import Template

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
