from universeg_jax.util import memory
from universeg_jax.util.memory import BASE, available_memory, processes_that_fit


def test_the_largest_item_decides(tmp_path):
    files = {}
    for name, size in (("small.nii.gz", 100), ("large.nii.gz", 10_000), ("plain.nii", 10_000)):
        files[name] = tmp_path / name
        files[name].write_bytes(bytes(size))
    assert processes_that_fit(8, [], 4 * BASE) == 4
    assert processes_that_fit(8, [[files["small.nii.gz"]]], 4 * BASE + 4 * 8000) == 4
    assert processes_that_fit(8, [[files["small.nii.gz"]], [files["large.nii.gz"]]], 4 * BASE + 4 * 8000) == 3
    assert processes_that_fit(8, [[files["large.nii.gz"], files["plain.nii"]]], 4 * (BASE + 1_000_000)) == 4
    assert processes_that_fit(8, [[files["large.nii.gz"], files["plain.nii"]]], 4 * (BASE + 1_000_000) - 1) == 3
    assert processes_that_fit(2, [[files["small.nii.gz"]]], 100 * BASE) == 2
    assert processes_that_fit(8, [[tmp_path / "gone"]], 0) == 1


def test_some_memory_is_available():
    assert 2**20 < available_memory() < 2**60
    assert memory.GROWTH[True] > memory.GROWTH[False]
