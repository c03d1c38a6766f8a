"""What a running study or experiment tells its caller."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Receives news of a study. All calls come from the thread that called `verify`."""

    def claim(self, title: str, index: int, count: int) -> None:
        """Claim `index` of `count` begins."""

    def phase(self, text: str, expected: float, unit: str = "replica-steps") -> None:
        """A phase of the claim begins that will take so many replica-steps, or of another unit; "" has no name."""

    def advance(self, done: float) -> None:
        """So many more replica-steps are done."""


class Silent:
    """Tells nobody."""

    def claim(self, title: str, index: int, count: int) -> None:
        """Ignore it."""

    def phase(self, text: str, expected: float, unit: str = "replica-steps") -> None:
        """Ignore it."""

    def advance(self, done: float) -> None:
        """Ignore it."""
