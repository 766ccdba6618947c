"""Files damaged at random."""

import tracemalloc

import numpy as np
import pytest

from tests.helpers.torch_crafting import FILES, members_of, zip_of
from universeg_jax.errors import WeightsError
from universeg_jax.weights.torch_io.file import load_torch


def mutate(random: np.random.Generator, content: bytes, other: bytes) -> bytes:
    content = bytearray(content or b"\0")
    for _ in range(random.integers(1, 4)):
        here, there = random.integers(len(content) + 1), random.integers(len(other) + 1)
        length = int(random.choice([1, 2, 4, 8, 64, 512]))
        match random.integers(7):
            case 0:  # flip a bit
                content[min(here, len(content) - 1)] ^= 1 << int(random.integers(8))
            case 1:  # overwrite by noise
                content[here : here + length] = random.bytes(length)
            case 2:  # overwrite by a telling number
                number = bytes([random.choice([0, 127, 128, 255])]) * min(length, 8)
                content[here : here + len(number)] = number
            case 3:  # insert
                content[here:here] = random.bytes(length)
            case 4:  # delete
                del content[here : here + length]
            case 5:  # splice
                content[here : here + length] = other[there : there + length]
            case 6:  # cut off
                del content[max(here, 1) :]
        content = content or bytearray(b"\0")
    return bytes(content)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # of pickletools, harmless
@pytest.mark.parametrize("target", ["zip", "legacy", "pickle", "members"])
def test_random_damage(tmp_path, target):
    """Every damaged file gives arrays or WeightsError: no other exception, no call, no great memory."""
    random = np.random.default_rng(0)
    tracemalloc.start()
    zipped, legacy = (FILES / "zip.pt").read_bytes(), (FILES / "legacy.pt").read_bytes()
    members = members_of(FILES / "zip.pt")
    path = tmp_path / "weights.pt"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(750):
        match target:
            case "zip":
                content = mutate(random, zipped, legacy)
            case "legacy":
                content = mutate(random, legacy, zipped)
            case "pickle":  # under a right checksum
                body = mutate(random, members["data.pkl"], legacy)
                content = zip_of({**members, "data.pkl": body})
            case "members":
                name = random.choice(list(members))
                content = zip_of({**members, name: mutate(random, members[name], zipped)})
        path.write_bytes(content)
        try:
            arrays = load_torch(path)
        except WeightsError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            assert all(array.flags.owndata and array.flags.c_contiguous for array in arrays.values())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert min(outcomes.values()) >= 10, outcomes
    assert peak < 2**25
