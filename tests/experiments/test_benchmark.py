import pytest

from experiments.benchmark.report import write_plot, write_table
from experiments.benchmark.speed import Case, measure
from experiments.benchmark.work import multiply_adds, official_multiply_adds
from universeg_jax.models.universeg import UniverSegConfig

UNIT = 9 * 64 * 64 * 128**2  # one convolution of 64 to 64 features at 128 px


@pytest.mark.parametrize("entries", [1, 16])
def test_work_per_support_entry_is_that_of_the_algebra(entries):
    v1 = UniverSegConfig.v1()

    def one_more(count):
        return (count(v1, entries=entries + 1, size=128) - count(v1, entries=entries, size=128)) / UNIT

    assert one_more(official_multiply_adds) == pytest.approx(8.6, abs=0.05)
    assert one_more(multiply_adds) == pytest.approx(1.7, abs=0.05)


def test_a_case_is_measured_and_reported(tmp_path):
    row = measure(Case(targets=1, entries=2, size=16), runs=2, with_official=False) | {"matmul_flops": 1e9}
    assert row["ours_seconds"] > 0
    machine = {"processor": "p", "cores": 2, "devices": ["cpu"], "python": "3", "versions": {"jax": "0"}}
    results = {
        "command": "c",
        "machine": machine,
        "speed": [row],
        "first": [],
        "memory": [],
        "artifacts": [],
    }
    write_table(tmp_path / "table.md", results)
    write_plot(tmp_path / "plot.png", [row])
    assert "| 1 | 2 | 16 | " in (tmp_path / "table.md").read_text()
    assert (tmp_path / "plot.png").stat().st_size > 1000
