"""Random words in vectors: the generator of `kernel_random` in LLVM's language.

What stands below `__all__` is copied into every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

__all__ = ["multiply_shift", "next_word"]


def next_word(v, state):
    """The next words of xoshiro256++, and its new state."""
    a, b, c, d = state
    builder = v.builder
    word = v.each(builder.add, turned(v, v.each(builder.add, a, d), 23), a)
    shifted = v.left(b, 17)
    c, d = v.each(builder.xor, c, a), v.each(builder.xor, d, b)
    a, b = v.each(builder.xor, a, d), v.each(builder.xor, b, c)
    return word, [a, b, v.each(builder.xor, c, shifted), turned(v, d, 45)]


def multiply_shift(v, half, count):
    """A whole number below `count` of each half of a word; words whose upper halves are seen to be zero."""
    return v.right(v.each(v.builder.mul, half, count), 32)


def turned(v, word, by):
    """Words, rotated to the left."""
    return v.each(v.builder.or_, v.left(word, by), v.right(word, 64 - by))
