"""`Outputs`: the files that `flatmin verify` writes: results as they come, then a report and LaTeX tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .jsonfile import CannotWrite, ResultFile, check_writable, study_json, write_whole
from .results import Verdict

__all__ = ["Outputs"]


class Outputs:
    """All that was asked for, checked before anything runs.

    Parameters
    ----------
    study : str
    seed : int
    several : bool
        Whether there are several studies.
    json_path, report, latex : Path or None
        A result file, the folder of a report, a file of LaTeX tables. A report keeps the result in its folder too.
    more : callable
        Gives the optional keys of a result; called when something is to be written.

    Attributes
    ----------
    error : CannotWrite or None
        Why the last attempt failed.

    Raises
    ------
    InvalidInput
        When an optional package is missing.
    CannotWrite
    """

    def __init__(
        self,
        study: str,
        seed: int,
        several: bool,
        json_path: Path | None,
        report: Path | None,
        latex: Path | None,
        more: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.report, self.latex = report, latex
        self._error: CannotWrite | None = None
        paths = [("--json", json_path)]
        if report is not None:
            from .report import check_report

            check_report(report)
            try:
                report.mkdir(exist_ok=True)
            except OSError as error:
                raise CannotWrite("--report", report, error) from None
            paths.append(("--report", report / "result.json"))
        if latex is not None:
            check_writable("--latex", latex)
        wanted = [(option, path) for option, path in paths if path is not None]
        self._header = (study, seed, several, more() if wanted or latex else {})
        self._files = [ResultFile(path, *self._header, option=option) for option, path in wanted]

    @property
    def error(self) -> CannotWrite | None:
        """Why the last attempt to write failed."""
        return next((f.error for f in self._files if f.error), self._error)

    @property
    def kept(self) -> Path | None:
        """Where finished claims are."""
        return next((f.path for f in self._files if not f.error), None)

    def write(self, rows: Sequence[tuple[str, Verdict]], seconds: float) -> None:
        """Write all finished claims as they are."""
        for file in self._files:
            file.write(rows, seconds)

    def finish(self, rows: Sequence[tuple[str, Verdict]], seconds: float, say: Callable[[str], None]) -> None:
        """Write the report and the tables; `say` is told what goes on."""
        if self.report is None and self.latex is None:
            return
        study, seed, several, more = self._header
        document = study_json(study, seed, seconds, rows, several, more)
        try:
            if self.latex is not None:
                from .document import result_of
                from .latex_table import latex_tables

                write_whole("--latex", self.latex, latex_tables(result_of(document)).encode())
                say(f"wrote {self.latex}")
            if self.report is not None:
                from .report import write_report

                say(f"wrote {write_report(document, self.report, say)}")
        except CannotWrite as error:
            self._error = error
