"""ALP as its paper defines it: prototypes are selected, one after another, in plain NumPy."""

import numpy as np


def unit(vector):
    return vector / max(np.linalg.norm(vector), 1e-4)


def places(height, width):
    return np.stack(np.meshgrid(*((np.arange(n) + 0.5) * 2 / n - 1 for n in (height, width)), indexing="ij"), axis=-1)


def squared(a, b):
    return ((a - b) ** 2).sum(axis=-1)


def cells(features, mask, window):
    """Compute mean features, centres and mask fractions of the windows of an image."""
    centres = places(*mask.shape)
    height, width, _ = features.shape
    for y in range(0, height - window + 1, window):
        for x in range(0, width - window + 1, window):
            part = slice(y, y + window), slice(x, x + window)
            yield unit(features[part].mean(axis=(0, 1))), centres[part].mean(axis=(0, 1)), mask[part].mean()


def best(similarities):
    """sum_p softmax(d)_p d_p"""
    weights = np.exp(similarities - np.max(similarities))
    return float((weights / weights.sum() * similarities).sum())


def alp_scores(query, supports, masks, config):
    """Score background and foreground of a feature map (h,w,C) from support features and masks (h,w), one by one."""
    background, shots = [], []
    for features, mask in zip(supports, masks, strict=True):
        for vector, place, share in cells(features, 1 - mask, config.window):
            if share > config.purity:
                background.append((vector, place, 0))
        room = True
        if config.foreground_grid is not None:
            block = features.shape[0] // config.foreground_grid
            room = max(share for _, _, share in cells(features, mask, block)) >= config.purity
        shot = [
            (vector, place, 0) for vector, place, share in cells(features, mask, config.window) if share > config.purity
        ]
        centres, area = places(*mask.shape), mask.sum() + 1e-5
        centroid = (centres * mask[..., None]).sum(axis=(0, 1)) / area
        spread = (squared(centres, centroid) * mask).sum() / area
        mean = unit((features * mask[..., None]).sum(axis=(0, 1)) / area)
        shots.append([*(shot if room else []), (mean, centroid, spread)])

    def score(pixel, where, prototypes):
        return best(
            np.array(
                [
                    config.scale * vector @ pixel - config.position_weight * max(squared(where, place) - 2 * spread, 0)
                    for vector, place, spread in prototypes
                ]
            )
        )

    if config.joint:
        shots = [[prototype for shot in shots for prototype in shot]]
    result, centres = np.zeros((2, *query.shape[:2])), places(*query.shape[:2])
    for y, x in np.ndindex(query.shape[:2]):
        pixel = unit(query[y, x])
        result[0, y, x] = score(pixel, centres[y, x], background)
        result[1, y, x] = max(score(pixel, centres[y, x], shot) for shot in shots)
    return result
