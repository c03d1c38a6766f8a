"""A three-address list, and loops over replicas around it, as LLVM code on vectors of replicas.

Numba has no vectors in its language; so a pass of a generated module over its replicas is one intrinsic, which walks
the printed list when it is compiled. `GROUPS` vectors stand side by side. What stands below `__all__` is copied into
every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import collections
import functools
import itertools

from llvmlite import ir
from numba.core import cgutils

from .kernel_hints import heat
from .kernel_vector import LENGTH, VECTOR
from .lanes import GROUPS, LANES
from .vector_math import FUNCTIONS, Lanes, signs

D = 1  # each module has its own

__all__ = ["Cells", "each_group", "evaluate", "load_rows", "store_rows"]

# Replicas whose vectors stand side by side are so far apart, whatever the length of a vector, and share their sums.
COLUMNS = LANES // GROUPS
INDEX, INDEX32 = ir.IntType(64), ir.IntType(32)
# Operations that are one instruction or two; `Lanes` knows them.
SIMPLE = ("add", "sub", "mul", "div", "neg", "sqrt", "abs", "multiply_add", "multiply_sub", "sub_multiply")
# Functions that only a library has.
LIBRARY = ("pow", "sin", "cos", "tan", "sinh", "cosh")


def evaluate(v, listing, inputs, onto=None):
    """The results of a printed list for these values of its inputs, in order; added `onto` others if there are any.

    Functions that can be evaluated together stand side by side as the vectors do. Sixteen registers are too few for
    eight of them at once, and four fill the time in which each waits for itself: where all functions come in twos, two
    of them for two vectors, elsewhere one for four.
    """
    lines = [line.split() for line in listing.splitlines()]
    twos = v.wide or in_twos(lines[1:])
    vectors, functions = (GROUPS if v.wide else 2, 2) if twos else (GROUPS, 1)
    if len(inputs[0]) > vectors:
        parts = [
            [None if rows is None else [row[g : g + vectors] for row in rows] for rows in (inputs, onto)]
            for g in range(0, len(inputs[0]), vectors)
        ]
        return joined([evaluate(v, listing, *part) for part in parts])
    values = dict(zip(lines[0][1:], inputs))
    waiting = [(line[0], line[2], line[3:]) for line in lines[1:] if line[0] != "out"]
    results = [line[3] for line in lines if line[0] == "out"]
    if onto is not None:
        values |= {f"before {k}": row for k, row in enumerate(onto)}
        waiting += [(f"after {k}", "add", [f"before {k}", result]) for k, result in enumerate(results)]
        results = [f"after {k}" for k in range(len(results))]
    waiting = contracted(waiting, results)
    simple = {name: getattr(v, name) for name in SIMPLE} | {"sign": lambda a: signs(v, a)}
    simple |= {name: functools.partial(v.library, name) for name in LIBRARY}

    def known(argument):
        return values[argument] if argument in values else [v.number(float(argument))] * len(inputs[0])

    while waiting:
        later = []
        for target, operation, arguments in waiting:
            missing = {other[0] for other in waiting} - set(values)
            if operation in simple and not missing & set(arguments):
                values[target] = simple[operation](*map(known, arguments))
            else:
                later.append((target, operation, arguments))
        names = {line[0] for line in later}
        ready = [line for line in later if not names & set(line[2])]
        if ready:
            together = [line for line in ready if line[1] == ready[0][1]][:functions]
            size = len(inputs[0])
            found = FUNCTIONS[ready[0][1]](v, [a for line in together for a in known(line[2][0])])
            for k, line in enumerate(together):
                values[line[0]] = found[k * size : (k + 1) * size]
            later = [line for line in later if line not in together]
        waiting = later
    return [known(result) for result in results]


def contracted(lines, results):
    """The same lines, where a product that a single sum or difference takes, and nothing else, is a part of it.

    Of two products the first. So what is fused depends on the list alone.
    """
    uses = collections.Counter(itertools.chain(results, *(arguments for _, _, arguments in lines)))
    products = {target: factors for target, operation, factors in lines if operation == "mul" and uses[target] == 1}
    taken, found = set(), []
    for target, operation, arguments in lines:
        product = next((a for a in arguments if a in products), None)
        if operation in ("add", "sub") and product:
            first = product == arguments[0]
            factors, other = products[product], arguments[1 if first else 0]
            if operation == "sub" and not first:
                operation, arguments = "sub_multiply", [other, *factors]
            else:
                operation, arguments = f"multiply_{operation}", [*factors, other]
            taken.add(product)
        found.append((target, operation, arguments))
    return [line for line in found if line[0] not in taken]


def in_twos(lines):
    """Whether each function of a list has another of its kind that can be evaluated together with it."""
    depth, together = {}, collections.Counter()
    for target, _, operation, *arguments in lines:
        if target != "out":
            depth[target] = max(depth.get(argument, 0) for argument in arguments) + (operation in FUNCTIONS)
            if operation in FUNCTIONS:
                together[operation, depth[target]] += 1
    return all(count % 2 == 0 for count in together.values())


def joined(parts):
    """Rows of which there were few vectors at a time."""
    return [list(itertools.chain(*rows)) for rows in zip(*parts)]


def apart(v, listing):
    """Whether to evaluate a list for one vector after the other: side by side they need too many registers.

    What takes long needs others beside it that fill the time.
    """
    return v.picks and polynomial(listing)


def polynomial(listing):
    """Whether a list has none but short operations."""
    operations = {line.split()[2] for line in listing.splitlines()[1:] if not line.startswith("out ")}
    return operations <= {"add", "sub", "mul", "neg"}


class Cells:
    """Lists of vectors that change: registers, once LLVM has optimized."""

    def __init__(self, v, rows):
        self.v = v
        self.places = [[cgutils.alloca_once(v.builder, value.type) for value in row] for row in rows]
        self.put(rows)

    def put(self, rows):
        """Change all."""
        for places, row in zip(self.places, rows):
            for place, value in zip(places, row):
                self.v.builder.store(value, place)

    def get(self):
        """All, as they are."""
        return [[self.v.builder.load(place) for place in row] for row in self.places]


def outside(v, emit, *args):
    """Call emit(v, *args) as a function of its own: beside it LLVM has too few registers for a loop over steps."""
    module, name = v.builder.module, emit.__name__
    if name not in module.globals:
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in args])
        function = ir.Function(module, kind, name)
        function.linkage = "internal"
        heat(function)
        builder = ir.IRBuilder(function.append_basic_block())
        emit(Lanes(builder, v.context), *function.args)
        builder.ret_void()
    v.builder.call(module.globals[name], args)


def place(v, data, *offsets):
    """A pointer so far into an array."""
    for offset in offsets:
        data = v.builder.gep(data, [INDEX(offset) if isinstance(offset, int) else offset])
    return data


def load(v, data, *offsets, kind=VECTOR):
    """A vector of entries."""
    return v.builder.load(v.builder.bitcast(place(v, data, *offsets), kind.as_pointer()), align=8)


def load_rows(v, data, base, count, kind=VECTOR, width=GROUPS):
    """Rows of replicas, `width` vectors of each."""
    return [[load(v, data, base, j * LANES + COLUMNS * g, kind=kind) for g in range(width)] for j in range(count)]


def store(v, value, data, *offsets):
    """Write a vector of entries."""
    to = v.builder.bitcast(place(v, data, *offsets), value.type.as_pointer())
    v.builder.store(value, to, align=8)


def store_rows(v, data, base, rows):
    """Write rows of replicas back."""
    for j, row in enumerate(rows):
        for g, value in enumerate(row):
            store(v, value, data, base, j * LANES + COLUMNS * g)


def spread(v, number):
    """A number, or a few, again and again in all vectors."""
    count = 1
    if isinstance(number.type, ir.VectorType):
        one, count = number, number.type.count
    else:
        one = v.builder.insert_element(
            ir.Constant(ir.VectorType(number.type, LENGTH), ir.Undefined), number, INDEX32(0)
        )
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LENGTH), [k % count for k in range(LENGTH)])
    return [v.builder.shuffle_vector(one, ir.Constant(one.type, ir.Undefined), mask)] * GROUPS


def each_group(v, body, width=GROUPS):
    """Call body(first lane) for all lanes, `width` vectors at a time."""
    with cgutils.for_range(v.builder, INDEX(LANES // LENGTH // width)) as loop:
        body(v.builder.mul(loop.index, INDEX(LENGTH)))
