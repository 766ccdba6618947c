"""Process many items in parallel, with processes of this machine or with Apache Beam."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from universeg_jax.errors import InputError
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
