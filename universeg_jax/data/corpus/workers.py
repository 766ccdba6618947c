"""Process many items in parallel: processes of this machine or Apache Beam, and how many fit into the memory."""

import math
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from universeg_jax.errors import InputError
from universeg_jax.io import itk, nifti, pictures
from universeg_jax.util.checks import check_number
from universeg_jax.util.imports import install_command


class Processes:
    """Worker processes of this machine. With one worker, all work is done in this process.

    Use it in a `with` block. Processes are spawned, so a script needs `if __name__ == "__main__":`.
    """

    def __init__(self, workers: int = 1):
        check_number("workers", workers, least=1, whole=True)
        self._pool = None
        if workers > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *exception) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def run(self, function: Callable, items: Sequence) -> Iterator:
        """Yield the results of `function` for all items, in the order of completion.

        Raises:
            InputError: a worker was killed.
        """
        if self._pool is None:
            yield from map(function, items)
            return
        futures = [self._pool.submit(function, item) for item in items]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise InputError(
                "a worker process was killed, most likely by a lack of memory: run again with fewer --workers; "
                "finished work is kept"
            ) from None
        finally:
            for future in futures:
                future.cancel()


@dataclass(frozen=True)
class Beam:
    """An Apache Beam runner, for corpora of tens of thousands of scans.

    Its workers must see source and corpus under the same paths: a shared file system.

    Attributes:
        runner: "DirectRunner", "FlinkRunner", "DataflowRunner", ...
        options: pipeline options as on the command line, such as "--direct_num_workers=4".
    """

    runner: str
    options: tuple[str, ...] = ()

    def __enter__(self) -> "Beam":
        return self

    def __exit__(self, *exception) -> None:
        """Do nothing: a runner keeps nothing between datasets."""

    def __post_init__(self):
        try:
            import apache_beam  # noqa: F401
        except ImportError:
            raise InputError(f"--runner needs Apache Beam: {install_command('beam')}") from None
        from apache_beam.runners.runner import create_runner

        try:
            create_runner(self.runner)
        except (ValueError, ImportError) as error:  # no such runner; one whose own packages are missing
            raise InputError(f"--runner {self.runner}: {error}") from None

    def run(self, function: Callable, items: Sequence) -> Iterator:
        """Yield the results of `function` for all items.

        The runner calls `function`, which should write its result to a file. Beam returns nothing, so `function` is
        called here again and should read that file.
        """
        import apache_beam as beam

        with beam.Pipeline(runner=self.runner, options=self.pipeline_options()) as pipeline:
            _ = pipeline | beam.Create(items) | beam.Reshuffle() | beam.Map(function)
        yield from map(function, items)

    def flat_map(self, function: Callable, items: Sequence):
        """Return a pipeline step that yields everything that `function` yields for the items."""
        import apache_beam as beam

        return beam.Create(items) | beam.Reshuffle() | beam.FlatMap(function)

    def pipeline_options(self):
        """Return the options as Beam takes them."""
        from apache_beam.options.pipeline_options import PipelineOptions

        return PipelineOptions(list(self.options))


def _end_with_parent() -> None:
    """End a worker when its parent is killed. It would wait for work forever."""

    if (parent := multiprocessing.parent_process()) is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


BASE = 2**30
"""Bytes of a process that has imported its libraries."""

MEMINFO, LIMIT, USED = "/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"


def available_memory() -> int:
    """Return the bytes that new processes may use without swapping; all memory if that is unknown."""
    free = [found for found in (_free_of_machine(), _free_of_container()) if found is not None]
    if free:
        return max(0, min(free))
    if "SC_PHYS_PAGES" in os.sysconf_names and os.sysconf("SC_PHYS_PAGES") > 0:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 8 * 2**30


def processes_that_fit(wanted: int, need: int, memory: int) -> int:
    """Return how many processes may work at once: at most `wanted`, at least one, and no more than memory allows.

    Args:
        need: bytes that the largest piece of work takes.
        memory: bytes for all processes.
    """
    return max(1, min(wanted, memory // (BASE + need)))


def _free_of_machine() -> int | None:
    """Return the bytes of memory that are free or hold cached files, on Linux."""
    try:
        lines = Path(MEMINFO).read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _free_of_container() -> int | None:
    """Return the bytes that a container may still use; None without a limit."""
    try:
        limit, used = (int(Path(file).read_text(encoding="ascii")) for file in (LIMIT, USED))
    except (OSError, ValueError):  # no control group, or "max"
        return None
    return limit - used


BYTES_PER_VALUE = 20
"""Memory for each value of an image or a mask: it becomes slices of three sizes in float32."""

EXPANSION = 8
"""Values for each byte of a file whose header is not read, such as a compressed DICOM slice."""


def memory_to_prepare(path: Path) -> int:
    """Estimate the bytes that it takes to read a file, or a folder of slices, and to cut it into slices.

    A file that cannot be read counts nothing: the reader reports it later.
    """
    if path.is_dir():
        return sum(memory_to_prepare(file) for file in path.iterdir() if file.is_file())
    name = path.name.lower()
    try:
        if not path.is_file():  # opening a pipe may never end
            return 0
        if name.endswith(".npz"):
            return _of_arrays(path)
        for endings, count in _VALUES.items():
            if name.endswith(endings):
                return BYTES_PER_VALUE * count(path)
        return BYTES_PER_VALUE * EXPANSION * path.stat().st_size
    except Exception:  # damaged headers make the libraries raise almost anything
        return 0


def _of_nifti(path: Path) -> int:
    import nibabel

    return math.prod(nibabel.load(path).shape)


def _of_itk(path: Path) -> int:
    import SimpleITK

    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return math.prod(reader.GetSize()) * reader.GetNumberOfComponents()


def _of_picture(path: Path) -> int:
    from PIL import Image

    with warnings.catch_warnings(), Image.open(path, formats=pictures.FORMATS) as picture:
        warnings.simplefilter("ignore")
        return math.prod(picture.size) * len(picture.getbands()) * getattr(picture, "n_frames", 1)


def _of_arrays(path: Path) -> int:
    """Bytes of all arrays: all are held in memory, and cut one by one."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


_VALUES: dict[tuple[str, ...], Callable[[Path], int]] = {
    nifti.ENDINGS: _of_nifti,
    itk.ENDINGS: _of_itk,
    pictures.EXTENSIONS: _of_picture,
}
