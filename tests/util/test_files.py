import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from universeg_jax.errors import InputError, WeightsError
from universeg_jax.util import files
from universeg_jax.util.files import (
    TEMPORARY,
    check_regular,
    content_digest,
    content_version,
    locked,
    remove_left,
    temporary_folder,
    whole_file,
    whole_folder,
    write_whole,
)

HOLD = """
import sys
from pathlib import Path
from universeg_jax.util.files import locked, temporary_folder
with locked(Path(sys.argv[1])), temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print(folder.name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of a folder and a temporary folder in it; its name."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    yield process, process.stdout.readline().decode().strip()
    process.kill()
    process.communicate()


def test_a_file_is_the_old_one_until_it_is_whole(tmp_path):
    write_whole(tmp_path / "file", "old")

    def fail():
        with whole_file(tmp_path / "file") as unfinished:
            unfinished.write_text("ne")
            assert (tmp_path / "file").read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    write_whole(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"


def test_names_of_the_longest_length_can_be_written(tmp_path):
    name = "n" * 255
    write_whole(tmp_path / name, "text")
    with whole_folder(tmp_path / name[1:]) as new:
        new.mkdir()
    assert {path.name for path in tmp_path.iterdir()} == {name, name[1:]}


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("old", "new"):
        with whole_folder(tmp_path / "a" / "folder") as new:
            new.mkdir()
            (new / content).write_text("")
    assert [path.name for path in (tmp_path / "a").rglob("*")] == ["folder", "new"]


def test_another_process_is_kept_out(tmp_path, holder):
    with pytest.raises(InputError, match="another run is writing to it"), locked(tmp_path):
        pass
    process, _ = holder
    threading.Timer(0.2, process.kill).start()
    with locked(tmp_path, wait=True), locked(tmp_path, again=True):
        assert process.wait() != 0
        with pytest.raises(InputError, match="another run"), locked(tmp_path):
            pass


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(tmp_path, holder):
    process, name = holder
    with temporary_folder(tmp_path) as mine:
        assert {path.name for path in tmp_path.iterdir()} == {name, mine.name}
    process.kill()
    process.wait()
    with temporary_folder(tmp_path) as mine:
        assert {path.name for path in tmp_path.iterdir()} == {mine.name}
    assert not list(tmp_path.iterdir())


def test_other_peoples_files_of_such_names_stay(tmp_path):
    (tmp_path / f"{TEMPORARY}mine").write_text("")
    (tmp_path / f"{TEMPORARY}link").symlink_to(tmp_path)
    with temporary_folder(tmp_path):
        pass
    assert len(list(tmp_path.iterdir())) == 2


def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert check_regular(tmp_path / "file") == check_regular(tmp_path / "link") == 3
    for path, problem in [
        (tmp_path / "pipe", "is a pipe; pass a regular file"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "loop", "cannot be read: Too many levels of symbolic links"),
        (tmp_path / "none", "cannot be read: No such file"),
        ("zero\0byte", "cannot be read"),
    ]:
        with pytest.raises(WeightsError, match=problem):
            check_regular(path, error=WeightsError)


def test_versions_follow_content_and_names(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "HASHED", 4)
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"abc")
    large.write_bytes(b"abcdef")
    before = content_digest(tmp_path)
    for file, seen in ((small, True), (large, False)):
        content, found = file.read_bytes(), file.stat()
        for written, changed in ((b"x" + content[1:], seen), (content, False)):
            file.write_bytes(written)
            os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
            assert (content_digest(tmp_path) != before) == changed
    (tmp_path / ".hidden").write_bytes(b"")
    assert content_digest(tmp_path) == before
    small.rename(tmp_path / "other")
    assert content_digest(tmp_path) != before
    assert content_version(tmp_path / "gone") == ()


KILLED = """
import os, sys
from pathlib import Path
from universeg_jax.util.files import whole_folder
rename = Path.rename
Path.rename = lambda self, target: os._exit(9) if self.name == "new" else rename(self, target)
with whole_folder(sys.argv[1]) as new:
    new.mkdir()
"""


def test_a_folder_that_a_killed_process_was_replacing_is_put_back(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "old").touch()
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "weights")]).returncode == 9
    assert not (tmp_path / "weights").exists()
    remove_left(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old", "weights"]


def test_a_folder_that_another_process_made_meanwhile_stays(tmp_path):
    def make():
        with whole_folder(tmp_path / "weights", replace=False) as new:
            new.mkdir()
            (tmp_path / "weights").mkdir()
            (tmp_path / "weights" / "theirs").touch()

    with pytest.raises(OSError, match="not empty"):
        make()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["theirs", "weights"]
