"""Machine code of a generated module: taken from Numba by the process that compiles it, called without Numba.

A function that Python calls has two objects, as LLVM writes them: its own, and an entry, which takes all arguments in
one piece of memory: numbers, and where NumPy has arrays. The entry looks at what it finds there before it calls.
"""

from __future__ import annotations

import ctypes
import re
import struct
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from flatmin.theory.errors import InvalidInput
from llvmlite import binding, ir

__all__ = ["functions", "written"]

_WORD, _INT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
# What stands in an array of NumPy, after what all objects of Python begin with, and in its data type.
_DATA, _COUNT, _SHAPE, _KIND, _FLAGS = (object.__basicsize__ + k for k in (0, 8, 16, 40, 48))
_ORDER, _NUMBER = object.__basicsize__ + 10, object.__basicsize__ + 12
_TYPE = object.__basicsize__ - 8
_CONTIGUOUS_ALIGNED_WRITEABLE = 0x501
_ENGINES: list[Any] = []  # machine code stays where it is as long as the process lives


def written(exported: Mapping[str, tuple[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """Write the machine code of compiled functions, and return what `functions` has to know of each.

    Raises
    ------
    InvalidInput
        When Numba was told not to compile.
    """
    known = {}
    for name, (signature, dispatcher) in exported.items():
        if not hasattr(dispatcher, "overloads"):
            raise InvalidInput("NUMBA_DISABLE_JIT", "=1 leaves nothing to run: kernels are machine code; unset it")
        (overload,) = dispatcher.overloads.values()
        library, symbol = overload.library, overload.fndesc.llvm_func_name
        entry = binding.parse_assembly(_entry(signature, symbol))
        (folder / f"{name}.o").write_bytes(library._get_compiled_object())
        (folder / f"{name}-entry.o").write_bytes(library.codegen._tm.emit_object(entry))
        declared = [f.name for f in library._final_module.functions if f.is_declaration]
        outside = sorted(f for f in declared if not f.startswith("llvm."))
        # With addresses of this process in it, machine code is of no use to another.
        known[name] = {"signature": signature, "outside": outside, "lasting": not library.has_dynamic_globals}
    return known


def functions(known: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, Callable[..., None]]:
    """Functions of Python from their machine code.

    Raises
    ------
    RuntimeError
        When it needs what is not there.
    """
    outside = [symbol for one in known.values() for symbol in one["outside"]]
    if not all(map(binding.address_of_symbol, outside)):
        _with_numba()
    if missing := [symbol for symbol in outside if not binding.address_of_symbol(symbol)]:
        raise RuntimeError(f"no {missing[0]} for the kernel")  # else LLVM would end the process
    found = {}
    for name, one in known.items():
        engine = _engine()
        for file in (f"{name}.o", f"{name}-entry.o"):
            engine.add_object_file(binding.ObjectFileRef.from_data((folder / file).read_bytes()))
        engine.finalize_object()
        found[name] = _caller(name, one["signature"], engine.get_function_address("entry"))
    return found


def _with_numba() -> None:
    """Load what only Numba has, its gamma function for one."""
    from numba.core.registry import cpu_target
    from numba.core.runtime import rtsys

    rtsys.initialize(cpu_target.target_context)


def _engine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_triple(binding.get_process_triple()).create_target_machine()
    _ENGINES.append(binding.create_mcjit_compiler(binding.parse_assembly(""), machine))
    return _ENGINES[-1]


def _kinds(signature: str) -> list[tuple[str, int]]:
    """Type and number of dimensions of each argument; a number has none."""
    assert signature.startswith("void("), signature
    found = re.findall(r"([a-z]\d)(\[[^\]]*\])?", signature[5:])
    return [(kind, shape.count(",") + 1 if shape else 0) for kind, shape in found]


def _entry(signature: str, symbol: str) -> str:
    """The text of a function of LLVM that calls the symbol, with arguments from one piece of memory.

    First in it stands the type of NumPy's arrays. It returns 0; k if argument k, from 1 on, is not what it should
    be; -1 if the function failed.
    """
    module = ir.Module("entry")
    module.triple = binding.get_process_triple()
    function = ir.Function(module, ir.FunctionType(_INT, [_WORD.as_pointer()]), "entry")
    builder = ir.IRBuilder(function.append_basic_block())
    words = [builder.load(builder.gep(function.args[0], [_WORD(k)])) for k in range(1 + len(_kinds(signature)))]
    given: list[Any] = []
    for k, ((kind, dimensions), word) in enumerate(zip(_kinds(signature), words[1:], strict=True), 1):
        if dimensions:
            given += _array(builder, words[0], word, np.dtype(kind), dimensions, k)
        else:
            given.append(builder.bitcast(word, ir.DoubleType()) if kind == "f8" else word)
    # Where Numba's functions put what they return, and an exception.
    places = [builder.ptrtoint(builder.alloca(_WORD), _WORD) for _ in range(2)]
    arguments = [*places, *given]
    called = ir.Function(module, ir.FunctionType(_INT, [a.type for a in arguments]), symbol)
    failed = builder.icmp_signed("!=", builder.call(called, arguments), _INT(0))
    builder.ret(builder.select(failed, _INT(-1), _INT(0)))
    return str(module)


def _array(builder: Any, type_: Any, address: Any, kind: Any, dimensions: int, number: int) -> list[Any]:
    """What Numba's functions take for an array, read from NumPy's; `number` is returned where it does not fit."""

    def at(where: Any, offset: int, width: Any = _WORD) -> Any:
        return builder.load(builder.inttoptr(builder.add(where, _WORD(offset)), width.as_pointer()))

    def demand(value: Any, wanted: Any) -> None:
        with builder.if_then(builder.icmp_signed("!=", value, wanted), likely=False):
            builder.ret(_INT(number))

    demand(at(address, _TYPE), type_)
    demand(at(address, _COUNT, _INT), _INT(dimensions))
    wanted = _INT(_CONTIGUOUS_ALIGNED_WRITEABLE)
    demand(builder.and_(at(address, _FLAGS, _INT), wanted), wanted)
    found = at(address, _KIND)
    demand(at(found, _NUMBER, _INT), _INT(kind.num))
    foreign = _BYTE(ord(">" if sys.byteorder == "little" else "<"))
    demand(builder.icmp_signed("==", at(found, _ORDER, _BYTE), foreign), ir.IntType(1)(0))
    lengths = at(address, _SHAPE)
    shape = [at(lengths, 8 * axis) for axis in range(dimensions)]
    strides = [_WORD(kind.itemsize)]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    size = shape[0]
    for length in shape[1:]:
        size = builder.mul(size, length)
    return [_WORD(0), _WORD(0), size, _WORD(kind.itemsize), at(address, _DATA), *shape, *strides]


def _caller(name: str, signature: str, address: int) -> Callable[..., None]:
    """A function of Python that calls an entry, without Python's lock."""
    _check_layout()
    kinds = _kinds(signature)
    arguments = [f"a{k}" for k in range(len(kinds))]
    words = [f"id({a})" if dimensions else a for a, (_, dimensions) in zip(arguments, kinds, strict=True)]
    packed = struct.Struct("=q" + "".join("d" if kind == ("f8", 0) else "q" for kind in kinds))

    def refuse(status: int) -> None:
        if status < 0:
            raise RuntimeError(f"{name} failed")
        kind, dimensions = kinds[status - 1]
        raise TypeError(
            f"{name}: argument {status} must be an array of {kind}, {dimensions} dimensions, contiguous and writeable"
        )

    def misfit(problem: struct.error) -> TypeError:
        return TypeError(f"{name}: a number among the arguments is not what it must be: {problem}")

    scope = {
        "call": ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_char_p)(address),
        "pack": packed.pack,
        "error": struct.error,
        "misfit": misfit,
        "refuse": refuse,
    }
    exec(
        f"def {name}({', '.join(arguments)}):\n"
        "    try:\n"
        f"        packed = pack({', '.join([str(id(np.ndarray)), *words])})\n"
        "    except error as problem:\n"
        "        raise misfit(problem) from None\n"
        "    status = call(packed)\n"
        "    if status:\n"
        "        refuse(status)\n",
        scope,
    )
    return scope[name]  # type: ignore[return-value]


@cache
def _check_layout() -> None:
    """Compare what stands in an array with what NumPy says of it."""
    array = np.zeros((2, 3))
    words = (ctypes.c_int64 * 8).from_address(id(array) + _TYPE)
    data, count = words[1], words[2] & 0xFFFFFFFF
    shape = list((ctypes.c_int64 * 2).from_address(words[3])) if count == 2 else []
    if (words[0], data, shape) != (id(np.ndarray), array.ctypes.data, [2, 3]):
        raise RuntimeError("this NumPy keeps arrays in another way than flatmin expects; please report this")
