"""ALP as its paper defines it: prototypes are selected, one after another, in plain NumPy."""

import numpy as np


def unit(vector):
    return vector / max(np.linalg.norm(vector), 1e-4)


def cells(features, mask, window):
    """Mean features of the windows of an image, and the fraction of each that is in the mask."""
    height, width, _ = features.shape
    for y in range(0, height - window + 1, window):
        for x in range(0, width - window + 1, window):
            part = slice(y, y + window), slice(x, x + window)
            yield features[part].mean(axis=(0, 1)), mask[part].mean()


def best(similarities):
    """sum_p softmax(d)_p d_p"""
    weights = np.exp(similarities - np.max(similarities))
    return float((weights / weights.sum() * similarities).sum())


def alp_scores(query, supports, masks, config):
    """Scores of background and foreground of a feature map (h,w,C) by support features and masks (h,w) one by one."""
    background, shots = [], []
    for features, mask in zip(supports, masks, strict=True):
        background += [unit(mean) for mean, share in cells(features, 1 - mask, config.window) if share > config.purity]
        room = True
        if config.foreground_grid is not None:
            block = features.shape[0] // config.foreground_grid
            room = max(share for _, share in cells(features, mask, block)) >= config.purity
        prototypes = [
            unit(mean) for mean, share in cells(features, mask, config.window) if room and share > config.purity
        ]
        weighted = (features * mask[..., None]).sum(axis=(0, 1)) / (mask.sum() + 1e-5)
        shots.append([*prototypes, unit(weighted)])

    result = np.zeros((2, *query.shape[:2]))
    for y, x in np.ndindex(query.shape[:2]):
        pixel = unit(query[y, x])
        result[0, y, x] = best(config.scale * np.array([p @ pixel for p in background]))
        result[1, y, x] = max(best(config.scale * np.array([p @ pixel for p in shot])) for shot in shots)
    return result
