"""Smooth the probabilities of a volume across its slices."""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

REACH = 3  # standard deviations that the Gaussian is cut off at


def smoothed(slices: Iterable[tuple[int, np.ndarray]], sigma: float) -> Iterator[tuple[int, np.ndarray]]:
    """Average each slice with its neighbours, by the weights of a Gaussian. Few slices are in memory at a time.

    Slices that are missing count for nothing: the weights of the others sum to 1.

    Args:
        slices: numbers of slices, ascending, and their probabilities (H,W,P).
        sigma: standard deviation in slices; 0 changes nothing.

    Yields:
        The same numbers, and smoothed probabilities.
    """
    if sigma == 0:
        yield from slices
        return
    reach = max(1, round(REACH * sigma))
    known: deque[tuple[int, np.ndarray]] = deque()
    waiting: deque[int] = deque()
    for number, probability in slices:
        known.append((number, probability))
        waiting.append(number)
        while waiting[0] + reach <= number:
            yield waiting[0], _mean(known, waiting.popleft(), sigma)
            while known[0][0] < (waiting[0] if waiting else number) - reach:
                known.popleft()
    while waiting:
        yield waiting[0], _mean(known, waiting.popleft(), sigma)


def _mean(known: Iterable[tuple[int, np.ndarray]], centre: int, sigma: float) -> np.ndarray:
    reach = max(1, round(REACH * sigma))
    near = [(np.exp(-0.5 * ((i - centre) / sigma) ** 2), own) for i, own in known if abs(i - centre) <= reach]
    total = sum(weight for weight, _ in near)
    return np.sum([np.float32(weight / total) * own for weight, own in near], axis=0)
