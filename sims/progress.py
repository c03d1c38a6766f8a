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

    def remaining(self, seconds: float) -> None:
        """The phase will take so many seconds still: for those whose parts differ too much to be counted."""

    def note(self, text: str) -> None:
        """Something to know that stays on the screen."""


class Silent:
    """Tells nobody."""

    def claim(self, title: str, index: int, count: int) -> None:
        """Ignore it."""

    def phase(self, text: str, expected: float, unit: str = "replica-steps") -> None:
        """Ignore it."""

    def advance(self, done: float) -> None:
        """Ignore it."""

    def remaining(self, seconds: float) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""
