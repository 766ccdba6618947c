"""The parts of the TPU benchmark that need no TPU compiler."""

import json

import jax

from experiments.benchmark import tpu
from experiments.benchmark.tpu_programs import collectives, memory_bytes, padded_bytes

PROGRAM = """
  %all-reduce.1 = (f32[3,3,64]{2,1,0}, bf16[10]{0}) all-reduce(%a, %b), channel_id=1, to_apply=%add
  %start = f32[4]{0:T(128)} all-reduce-start(%c), channel_id=2
  %done = f32[4]{0:T(128)} all-reduce-done(%start)
  %gathered = bf16[2,8]{1,0} all-gather(%d), dimensions={0}
  %used = f32[3]{0} fusion(%all-reduce.1), kind=kLoop
"""


def test_collectives_are_counted_with_the_bytes_of_their_results():
    assert collectives(PROGRAM) == {
        "all-reduce": {"count": 2, "bytes": 4 * 3 * 3 * 64 + 2 * 10 + 4 * 4},
        "all-gather": {"count": 1, "bytes": 2 * 2 * 8},
    }


FUSED = """
%fused_computation (param: f32[8,128]) -> f32[8,128] {
  %param = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %double = f32[8,128]{1,0:T(8,128)} add(%param, %param)
}
ENTRY %main (a: f32[8,128]) -> f32[8,128] {
  %a = f32[8,128]{1,0:T(8,128)} parameter(0)
  %near = (f32[8,128]{1,0:T(8,128)S(1)}, f32[8,128]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%a)
  %done = f32[8,128]{1,0:T(8,128)S(1)} copy-done(%near)
  ROOT %fusion = f32[8,128]{1,0:T(8,128)} fusion(%done, %a), kind=kLoop, calls=%fused_computation
}
"""


def test_bytes_of_memory_leave_out_vmem_and_the_inside_of_fusions():
    assert memory_bytes(FUSED) == 3 * 4 * 8 * 128  # the copy reads a, the fusion reads it again and writes


def test_layouts_pad_arrays():
    assert padded_bytes("bf16[64,3]{1,0:T(8,128)(2,1)}") == 2 * 64 * 128
    assert padded_bytes("bf16[64,3]{0,1:T(8,128)(2,1)}") == 2 * 8 * 128
    assert padded_bytes("(pred[4]{0}, f32[2,2]{1,0:T(2,128)S(1)})") == 4


def test_rows_are_kept_between_runs_and_written_as_tables(tmp_path, monkeypatch):
    figures = {
        "temporary_bytes": 2_000_000,
        "argument_bytes": 1,
        "operations": 3e9,
        "bytes": 4e9,
        "seconds_of_arithmetic": 0.001,
        "seconds_of_memory": 0.005,
        "memory_bytes": 5e8,
        "cycles": 6_000_000,
        "collectives": {"all-reduce": {"count": 1, "bytes": 4_700_000}},
    }
    measured = []
    monkeypatch.setattr(tpu, "measure", lambda case: measured.append(case) or case | figures)
    monkeypatch.setattr(tpu.sys, "argv", ["tpu", "--out", str(tmp_path)])
    tpu.main()
    rows = json.loads((tmp_path / "tpu.json").read_text())["rows"]
    assert len(rows) == len(measured) > 20
    page = (tmp_path / "tpu.md").read_text()
    assert "| v5e | 64 | 1 | bfloat16 | ours | 2 | 3.0 | 4.00 | 0.50 | 6.00 | 1.00 | 5.00 |" in page
    assert "| v5e 2x2 | 64 | data | kept | 2 | 3.0 | 4.00 | 0.50 | 6.00 | 1.00 | 5.00 | 1 all-reduce, 4.7 MB |" in page
    tpu.main()
    assert len(measured) == len(rows)
    rows[0].pop("memory_bytes")
    assert "| ours | 2 | 3.0 | 4.00 | - | 6.00 | 1.00" in tpu.table(rows)


def test_a_program_that_does_not_fit_is_a_row_of_its_own(monkeypatch):
    def exhausted(case):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 20.01G exceeds 15.75G.\nlargest buffers")

    monkeypatch.setattr(tpu, "_figures", exhausted)
    row = tpu.measure({"chip": "v5e", "entries": 64, "targets": 16})
    assert row["too_large"] == "RESOURCE_EXHAUSTED: 20.01G exceeds 15.75G."
    assert "- chip v5e, entries 64, targets 16: RESOURCE_EXHAUSTED: 20.01G exceeds 15.75G." in tpu.table([row])
