import io
import shutil
import subprocess
import sys

import pytest

from universeg_jax.errors import InputError
from universeg_jax.util import outputs
from universeg_jax.util.files import TEMPORARY
from universeg_jax.util.outputs import (
    UNFINISHED,
    PatientStream,
    check_outputs,
    complete_or_nothing,
    patient_output,
    printable,
)

FILES = ("masks/a.png", "masks/b.png", "report.json")


def write(out, content, *, files=FILES, **options):
    with complete_or_nothing(out, **options) as folder:
        for file in files:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(content)


def contents(out):
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}


def test_results_appear_together(tmp_path):
    out = tmp_path / "some" / "where"
    write(out, "old")
    (out / "mine.txt").write_text("mine")
    write(out, "new", files=FILES[1:], outputs=FILES)
    assert contents(out) == {"masks/b.png": "new", "report.json": "new", "mine.txt": "mine"}


@pytest.mark.parametrize("exists", [False, True])
def test_nothing_is_left_of_a_failure(tmp_path, exists):
    out = tmp_path / "some" / "where"
    if exists:
        write(out, "old")

    def fail():
        with complete_or_nothing(out) as folder:
            (folder / "masks").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    if exists:
        assert contents(out) == dict.fromkeys(FILES, "old")
    assert len(list(tmp_path.rglob("*"))) == (6 if exists else 0)


def test_new_files_are_checked_again_when_the_folder_is_locked(tmp_path):
    write(tmp_path, "old")
    with pytest.raises(InputError, match=r"already holds masks/a.png, masks/b.png, report.json; pass --overwrite"):
        write(tmp_path, "new", new=FILES)
    assert contents(tmp_path) == dict.fromkeys(FILES, "old")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", range(12))
def test_a_kill_while_results_are_moved_is_made_good_by_the_next_run(tmp_path, monkeypatch, moment):
    """Stop at every step of the file system in turn, as a kill does: nothing is cleaned up."""
    out = tmp_path / "out"
    write(out, "old", files=("masks/a.png", "masks/c.png", "report.json"))
    steps = 0

    def stop_at(function):
        def step(*arguments, **options):
            nonlocal steps
            steps += 1
            if steps == moment + 1:
                raise Killed
            if steps > moment:
                return None  # cleaning up, which a killed process does not do
            return function(*arguments, **options)

        return step

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink", "rmdir"):
            patch.setattr(outputs.Path, name, stop_at(getattr(outputs.Path, name)))
        patch.setattr(shutil, "rmtree", stop_at(shutil.rmtree))
        try:
            write(out, "new", outputs=(*FILES, "masks/c.png"))
            killed = False
        except Killed:
            killed = True
    assert killed or moment >= 7
    old = {"masks/a.png": "old", "masks/c.png": "old", "report.json": "old"}
    new = dict.fromkeys(FILES, "new")
    visible = {name: text for name, text in contents(out).items() if not name.startswith((TEMPORARY, UNFINISHED))}
    assert visible in (old, new) or (out / UNFINISHED).is_dir()
    check_outputs(out, FILES, overwrite=True)
    write(out, "other", files=("other.txt",))
    assert contents(out) in ({**old, "other.txt": "other"}, {**new, "other.txt": "other"})
    assert {path.name for path in out.iterdir()} == {"masks", "report.json", "other.txt"}


def test_a_second_process_is_refused_before_it_works(tmp_path):
    program = "import sys; from pathlib import Path; from universeg_jax.util.outputs import own_output\n"
    program += "with own_output(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    other = [sys.executable, "-c", program, tmp_path / "out"]
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(InputError, match="out: another run is writing to it"):
            write(tmp_path / "out", "mine")
        process.stdin.close()
    assert not (tmp_path / "out").exists()
    write(tmp_path / "out", "mine")
    assert contents(tmp_path / "out") == dict.fromkeys(FILES, "mine")


class Full(io.StringIO):
    def flush(self):
        raise OSError(28, "No space left on device")


def test_characters_that_the_console_lacks_are_escaped():
    bytes_ = io.BytesIO()
    stream = PatientStream(io.TextIOWrapper(bytes_, encoding="ascii"))
    print("Größe \udcff", file=stream, flush=True)
    assert bytes_.getvalue() == b"Gr\\xf6\\xdfe \\udcff\n"
    assert stream.failure is None


@pytest.mark.parametrize("target", [Full(), None, io.StringIO()])
def test_a_full_or_closed_console_ends_nothing(monkeypatch, target):
    monkeypatch.setattr(sys, "stdout", target)
    monkeypatch.setattr(sys, "stderr", target)
    if isinstance(target, io.StringIO) and not isinstance(target, Full):
        target.close()
    with patient_output() as out:
        print("text", flush=True)
        print("text", file=sys.stderr)
    assert (out.failure is None) == (target is None)
    assert sys.stdout is target


def test_terminals_are_not_steered():
    assert printable("a\x1b[31mb\r\nc\td\u202e") == "a\\x1b[31mb\\r\nc\td\\u202e"
    assert printable("Größe \u4e2d") == "Größe \u4e2d"
