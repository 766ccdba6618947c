import pytest

from universeg_jax.util import memory
from universeg_jax.util.memory import BASE, available_memory, processes_that_fit


@pytest.mark.parametrize(
    ("wanted", "need", "budget", "found"),
    [
        (8, 0, 4 * BASE, 4),
        (8, 1000, 4 * BASE + 3999, 3),
        (8, 1000, 4 * BASE + 4000, 4),
        (2, 1000, 100 * BASE, 2),
        (8, 10**12, BASE, 1),
    ],
)
def test_memory_limits_the_number_of_processes(wanted, need, budget, found):
    assert processes_that_fit(wanted, need, budget) == found


def test_the_limit_of_a_container_counts(monkeypatch, tmp_path):
    texts = {"MEMINFO": "MemTotal: 9000 kB\nMemAvailable:   3000 kB\n", "LIMIT": "2500000\n", "USED": "500000\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(memory, name, str(tmp_path / name))
    assert available_memory() == 2_000_000
    (tmp_path / "LIMIT").write_text("max\n")
    assert available_memory() == 3000 * 1024
    (tmp_path / "MEMINFO").unlink()
    assert 2**28 < available_memory() < 2**60  # all memory of this machine
