"""Segment a folder as a short script on the official PyTorch code would: the opponent of `first_mask`.

It reads, resizes and normalises each picture with Pillow and NumPy, and runs the network eagerly.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from universeg import universeg

SIZE = 128


def picture(path: Path) -> torch.Tensor:
    """Read a grey picture (1,128,128) in [0,1]."""
    pixels = np.asarray(Image.open(path).convert("L").resize((SIZE, SIZE), Image.BILINEAR), np.float32)
    return torch.from_numpy((pixels - pixels.min()) / max(float(np.ptp(pixels)), 1.0))[None]


def main(weights: Path, support: Path, images: Path, out: Path) -> None:
    """Segment all images of a folder and write their masks."""
    model = universeg(version="v1")
    model.load_state_dict(torch.load(weights, weights_only=True))
    names = sorted(path.name for path in (support / "images").iterdir())
    examples = torch.stack([picture(support / "images" / name) for name in names])[None]
    labels = torch.stack([(picture(support / "masks" / name) > 0.5).float() for name in names])[None]
    out.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        for path in sorted(images.iterdir()):
            height_first = Image.open(path).size[::-1]
            mask = model(picture(path)[None], examples, labels)[0, 0].numpy() > 0
            Image.fromarray(mask.astype(np.uint8) * 255).resize(height_first[::-1]).save(out / f"{path.stem}.png")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
