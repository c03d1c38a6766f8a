"""The report: a static page with figures from a result file, without running anything."""

from __future__ import annotations

from .write import check_report, write_report

__all__ = ["check_report", "write_report"]
