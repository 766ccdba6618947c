"""Golden outputs of the official PyTorch UniverSeg on seeded weights and inputs.

Each `golden/NAME.npz` holds `logits` (B,1,H,W) and `meta`, a JSON string with seeds, sizes, block features, the state
dict's names and shapes in order (`keys`), the soft Dice `loss` and the norm of every parameter's gradient (0 where the
official code has none). They were computed with the official code, github.com/JJGO/UniverSeg (Apache-2.0), on CPU.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.weights import import_universeg
from universeg_jax.weights.mapping import blueprint

FOLDER = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))


@dataclass
class Golden:
    model: UniverSeg
    target: np.ndarray  # (B,H,W,1)
    support_images: np.ndarray  # (B,S,H,W,1)
    support_labels: np.ndarray
    target_label: np.ndarray
    logits: np.ndarray
    loss: float
    gradient_norms: dict[str, float]  # by official name


def load_golden(name: str) -> Golden:
    with np.load(FOLDER / f"{name}.npz") as file:
        logits, meta = file["logits"], json.loads(str(file["meta"]))
    model = blueprint(UniverSeg, _config(meta))
    import_universeg(model, _state_dict(meta))
    rng = np.random.default_rng(meta["inputs_seed"])
    batch, size = (meta["B"],), (1, meta["H"], meta["W"])
    target = rng.random(batch + size, np.float32)
    images = rng.random((*batch, meta["S"], *size), np.float32)
    labels = (rng.random((*batch, meta["S"], *size)) > 0.5).astype(np.float32)
    target_label = (rng.random(batch + size) > 0.5).astype(np.float32)
    arrays = (np.moveaxis(x, -3, -1) for x in (target, images, labels, target_label, logits))
    return Golden(model, *arrays, meta["loss"], meta["grad_norms"])


def _config(meta: dict) -> UniverSegConfig:
    def pairs(blocks: list | None) -> tuple | None:
        return blocks and tuple((b, b) if isinstance(b, int) else tuple(b) for b in blocks)

    activation = {None: None, "LeakyReLU": jax.nn.leaky_relu}[meta["cross_nonlinearity"]]
    return UniverSegConfig(pairs(meta["encoder_blocks"]), pairs(meta["decoder_blocks"]), cross_activation=activation)


def _state_dict(meta: dict) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(meta["weights_seed"])
    return {
        key: (rng.standard_normal(shape) * (np.sqrt(2 / np.prod(shape[1:])) if key.endswith("weight") else 0.1)).astype(
            np.float32
        )
        for key, shape in meta["keys"].items()
    }
