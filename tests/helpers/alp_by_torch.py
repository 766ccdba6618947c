"""ALPNet's training losses in PyTorch, written from their description, with gradients by autograd.

The prototypes are selected one by one, where the library masks a softmax.
"""

import torch
from torch.nn import functional

NORM, AREA, SCALE, PURITY, BLOCK = 1e-4, 1e-5, 20.0, 0.95, 4


def nearest(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A mask (H,W) at the resolution of the features."""
    return functional.interpolate(mask[None, None], size=size, mode="nearest")[0, 0]


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=NORM)


def cells(features: torch.Tensor, mask: torch.Tensor, window: int) -> torch.Tensor:
    """Mean features (n,C) of the windows that lie in the mask."""
    means = functional.avg_pool2d(features[None], window)[0].flatten(1).T
    return means[functional.avg_pool2d(mask[None, None], window).flatten() > PURITY]


def score(query: torch.Tensor, prototypes: torch.Tensor, *, soft: bool) -> torch.Tensor:
    """Scores (h,w) of query features (C,h,w) by prototypes (n,C)."""
    pixels = unit(query.flatten(1).T)
    distances = SCALE * pixels @ unit(prototypes).T
    found = (distances.softmax(dim=1) * distances).sum(dim=1) if soft else distances.max(dim=1).values
    return found.reshape(query.shape[1:])


def alp(support: torch.Tensor, mask: torch.Tensor, query: torch.Tensor, window: int, block: int) -> torch.Tensor:
    """Scores (2,h,w) of background and foreground; features are (C,h,w), the mask (H,W)."""
    mask = nearest(mask, tuple(support.shape[1:]))
    background = score(query, cells(support, 1 - mask, window), soft=True)
    mean = ((support * mask).sum(dim=(1, 2)) / (mask.sum() + AREA))[None]
    if functional.avg_pool2d(mask[None, None], block).max() >= PURITY:
        foreground = score(query, torch.cat([cells(support, mask, window), mean]), soft=True)
    else:
        foreground = score(query, mean, soft=False)
    return torch.stack([background, foreground])


def upsampled(scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)


def losses(support, query, support_mask, query_mask) -> tuple[torch.Tensor, torch.Tensor]:
    """The query loss and the alignment loss of one episode."""
    window = support.shape[1] // 8
    scores = alp(support, support_mask, query, window, window)
    logits = upsampled(scores, tuple(query_mask.shape))
    weights = torch.tensor([0.05, 1.0], dtype=logits.dtype)
    loss = functional.cross_entropy(logits, query_mask.long()[None], weight=weights, ignore_index=255)
    predicted = scores.argmax(dim=0).to(scores.dtype)
    swapped = alp(query, predicted, support, window, BLOCK)
    aligned = functional.cross_entropy(
        upsampled(swapped, tuple(support_mask.shape)), support_mask.long()[None], ignore_index=255
    )
    return loss, aligned
