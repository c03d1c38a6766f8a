"""Runs that are finished once: one JSON file for each, so that an experiment that was cut goes on where it stopped."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ..blocks import processors
from ..jsonfile import CannotWrite, finite, write_whole
from ..progress import Progress, Silent
from .origin import digest, origin
from .remaining import Remaining

__all__ = ["Interrupted", "Laboratory", "Run", "Setting"]

Setting = Mapping[str, Any]
Run = Callable[[Setting, Callable[[], bool]], Mapping[str, Any]]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or a signal; the message says what is kept."""


class Laboratory:
    """Where an experiment runs and what it has finished.

    Parameters
    ----------
    folder : Path
        Made if it is not there. Finished runs stand in its folder `runs`.
    threads : int, optional
        Runs at the same time; the processors of this machine by default.
    progress : Progress, optional
        Is told how much is done and how long it takes still.

    Raises
    ------
    CannotWrite
        When the folder cannot be made.
    """

    def __init__(self, folder: Path | str, threads: int | None = None, progress: Progress | None = None) -> None:
        self.folder = Path(folder)
        self.threads = threads or processors()
        self.progress: Progress = progress or Silent()
        self._told = False
        try:
            (self.folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite("--out", self.folder, error) from None

    def finish(
        self,
        run: Run,
        settings: Sequence[Setting],
        *,
        cost: Callable[[Setting], float] = lambda _: 1.0,
        name: Callable[[Setting], str] = lambda setting: ", ".join(map(str, setting.values())),
    ) -> list[dict[str, Any]]:
        """The result of each setting; those on file are read, the others run, several at a time, the longest first.

        What is on file belongs to its setting, to the texts of the script and of the library, and to their versions
        (`origin`): runs of others are told of, kept, and not used.

        Parameters
        ----------
        run : callable
            run(setting, should_stop) returns a result that JSON can hold. It depends on the setting alone, and gives up
            (whatever it raises is not looked at) once should_stop() is true. It is called from several threads.
        settings : sequence of mapping
            What JSON can hold.
        cost : callable
            How long the run of a setting takes, in any unit: for the order and for the time left.
        name : callable
            What the progress calls a setting.

        Returns
        -------
        list of dict
            In the order of the settings; a number that is not finite is None.

        Raises
        ------
        Interrupted
            After Ctrl-C. What is finished is on file.
        CannotWrite
        """
        made = origin(run)
        files = [self.folder / "runs" / f"{digest(made, run, s)}.json" for s in settings]
        known = {file: found["result"] for file in dict.fromkeys(files) if (found := _read(file)) is not None}
        waiting = {file: dict(s) for file, s in zip(files, settings, strict=True) if file not in known}
        order = sorted(waiting, key=lambda file: -cost(waiting[file]))
        remaining = Remaining({file: cost(waiting[file]) for file in order}, min(self.threads, len(waiting)))
        self._tell_of_others(made, files)
        self.progress.phase(f"{len(known)} runs on file" if known else "", 0, unit="")
        whole = len(known) + len(waiting)

        def kept(file: Path, stop: threading.Event) -> dict[str, Any]:
            with remaining.running(file):
                return _write(file, made, waiting[file], run(waiting[file], stop.is_set))

        try:
            with closing(_unordered(kept, order, min(self.threads, len(waiting)))) as finished:
                for file, result in finished:
                    known[file] = result
                    self.progress.claim(name(waiting[file]), len(known) - 1, whole)
                    self.progress.remaining(remaining.seconds())
        except KeyboardInterrupt:
            count = sum(file.exists() for file in dict.fromkeys(files))
            kept_in = f"{count} of {whole} runs finished, kept in {self.folder}"
            raise Interrupted(f"{kept_in}; the same command goes on from there") from None
        return [known[file] for file in files]

    def _tell_of_others(self, made: str, files: Iterable[Path]) -> None:
        """Say once how many runs of the folder come from another version of this program or script."""
        if self._told:
            return
        self._told = True
        names = {file.name for file in files}
        others = [f for f in (self.folder / "runs").glob("*.json") if f.name not in names]
        count = sum(1 for f in others if (found := _read(f)) is not None and found.get("origin") != made)
        if count:
            where = f"{count} runs in {self.folder / 'runs'} were made by another version of flatmin or of the script"
            self.progress.note(f"{where}; they are kept, and not used")

    def write(self, name: str, data: bytes) -> Path:
        """Write a file of the folder, whole or not at all."""
        write_whole("--out", self.folder / name, data)
        return self.folder / name


def _unordered(
    function: Callable[[Path, threading.Event], dict[str, Any]], files: Sequence[Path], threads: int
) -> Generator[tuple[Path, dict[str, Any]], None, None]:
    """Results of a function for each file as they come, from several threads; the first error is raised.

    Not a ThreadPoolExecutor: waiting for its futures takes a lock of each, which Ctrl-C can leave taken for ever.
    """
    tasks, finished, stop = deque(files), SimpleQueue[tuple[Path, Any]](), threading.Event()

    def work() -> None:
        while tasks and not stop.is_set():
            try:
                file = tasks.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                finished.put((file, function(file, stop)))
            except BaseException as error:
                finished.put((file, error))

    workers = [threading.Thread(target=work, name=f"flatmin-{k}") for k in range(threads)]
    try:
        for worker in workers:
            worker.start()
        for _ in files:
            file, outcome = finished.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield file, outcome
    finally:
        stop.set()
        for worker in workers:
            if worker.ident is not None:
                worker.join()


def _read(file: Path) -> dict[str, Any] | None:
    """What a file holds; None when it holds no result that can be read."""
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("result"), dict) else None


def _write(file: Path, made: str, setting: Setting, result: Mapping[str, Any]) -> dict[str, Any]:
    """Put a result on file; returns it as it will be read."""
    document = {"origin": made, "setting": setting, "result": finite(dict(result))}
    text = json.dumps(document, indent=1, allow_nan=False)
    write_whole("--out", file, (text + "\n").encode())
    kept: dict[str, Any] = json.loads(text)["result"]
    return kept
