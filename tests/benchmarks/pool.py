"""The engines of a work as processes that wait for commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from .works import Work

__all__ = ["Pool"]

ROOT = Path(__file__).parents[2]


class Pool:
    """One process for each engine; those that cannot run are in `missing`, with the reason.

    Parameters
    ----------
    work : Work
    names : list of str
        Engines.
    cores : list of int
        Processors that the processes stay on; they work one at a time.
    broken : str
        An engine that gets twice the label noise, to see that the comparison fails.
    """

    def __init__(self, work: Work, names: list[str], cores: list[int], broken: str = "") -> None:
        self.missing: dict[str, str] = {}
        self.ready: dict[str, dict[str, float]] = {}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        for name in names:
            sigma = "2" if name == broken else "1"
            arguments = [name, work.name, ",".join(str(core) for core in cores), sigma]
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.worker", *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._expect(name, self.ready)

    def _expect(self, name: str, into: dict[str, Any]) -> None:
        stdout = self._processes[name].stdout
        line = stdout.readline() if stdout else ""
        answer = json.loads(line) if line else {"unavailable": f"{name}: the process ended; see above"}
        if "unavailable" in answer:
            self.missing[name] = answer["unavailable"]
            self._end(name)
        else:
            into[name] = answer

    def ask(self, name: str, *command: Any) -> dict[str, Any] | None:
        """Send a command to an engine and wait for the answer; None when there is none, now or any more."""
        if name not in self._processes:
            return None
        stdin = self._processes[name].stdin
        if stdin:
            print(*command, file=stdin, flush=True)
        answers: dict[str, Any] = {}
        self._expect(name, answers)
        return answers.get(name)

    @property
    def names(self) -> list[str]:
        """Engines that run."""
        return list(self._processes)

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        if process.stdin:
            process.stdin.close()
        process.wait()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self.names:
            self._end(name)
