"""A three-address list, and loops over steps and replicas around it, as LLVM code on vectors of replicas.

Numba has no vectors in its language; so a pass of a generated module over its replicas is one intrinsic, which walks
the printed list when it is compiled. `GROUPS` vectors stand side by side. What stands below `__all__` is copied into
every generated module that needs it.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

from .kernel_random import LANES
from .kernel_vector import LENGTH, VECTOR
from .vector_math import FUNCTIONS, signs

D, PARAMETERS, MONOMIALS = 1, 1, ((0,), (0, 0))  # each module has its own

__all__ = ["Cells", "add_moments", "each_group", "evaluate", "take_steps"]

GROUPS = min(4, LANES // LENGTH)
# Replicas whose vectors stand side by side are so far apart, whatever the length of a vector, and share their sums.
COLUMNS = LANES // GROUPS
INDEX, INDEX32 = ir.IntType(64), ir.IntType(32)


def evaluate(v, listing, inputs):
    """The results of a printed list for these values of its inputs, in order.

    Functions that can be evaluated together stand side by side as the vectors do.
    """
    lines = [line.split() for line in listing.splitlines()]
    values = dict(zip(lines[0][1:], inputs))
    waiting = [(line[0], line[2], line[3:]) for line in lines[1:] if line[0] != "out"]
    simple = {"add": v.add, "sub": v.sub, "mul": v.mul, "div": v.div, "neg": v.neg, "sqrt": v.sqrt, "abs": v.abs}
    simple["sign"] = lambda a: signs(v, a)

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
            together = [line for line in ready if line[1] == ready[0][1]][:2]
            size = len(inputs[0])
            results = FUNCTIONS[ready[0][1]](v, [a for line in together for a in known(line[2][0])])
            for k, line in enumerate(together):
                values[line[0]] = results[k * size : (k + 1) * size]
            later = [line for line in later if line not in together]
        waiting = later
    return [known(line[3]) for line in lines if line[0] == "out"]


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


def place(v, data, *offsets):
    """A pointer so far into an array."""
    for offset in offsets:
        data = v.builder.gep(data, [INDEX(offset) if isinstance(offset, int) else offset])
    return data


def load(v, data, *offsets, kind=VECTOR):
    """A vector of entries."""
    return v.builder.load(v.builder.bitcast(place(v, data, *offsets), kind.as_pointer()), align=8)


def load_rows(v, data, base, count, kind=VECTOR):
    """Rows of replicas."""
    return [[load(v, data, base, j * LANES + COLUMNS * g, kind=kind) for g in range(GROUPS)] for j in range(count)]


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


def each_group(v, body):
    """Call body(first lane) for all lanes."""
    with cgutils.for_range(v.builder, INDEX(COLUMNS // LENGTH)) as loop:
        body(v.builder.mul(loop.index, INDEX(LENGTH)))


def next_word(v, state):
    """The next words of xoshiro256++, and its new state."""
    a, b, c, d = state
    builder = v.builder
    word = v.each(builder.add, turned(v, v.each(builder.add, a, d), 23), a)
    shifted = v.left(b, 17)
    c, d = v.each(builder.xor, c, a), v.each(builder.xor, d, b)
    a, b = v.each(builder.xor, a, d), v.each(builder.xor, b, c)
    return word, [a, b, v.each(builder.xor, c, shifted), turned(v, d, 45)]


def turned(v, word, by):
    """Words, rotated to the left."""
    return v.each(v.builder.or_, v.left(word, by), v.right(word, 64 - by))


def monomials(v, which, theta):
    """Parameters, and products of two of them."""
    rows = [[theta[j] for j in pair] for pair in which]
    return [v.mul(*factors) if len(factors) == 2 else factors[0] for factors in rows]


def add_monomials(v, sums, values):
    """The sums, each one vector, with values whose vectors stand side by side.

    These are added up first: a sum is then ready for the next step after one addition.
    """
    found = []
    for total, (part, *others) in zip(sums, values):
        for value in others:
            (part,) = v.add([part], [value])
        found += v.add([total], [part])
    return found


def add_moments(v, raw, base, theta):
    """Add the moments of rows of replicas to the sums that they share."""
    for m, pair in enumerate(MONOMIALS):
        (total,) = add_monomials(v, [load(v, raw, base, m * LANES)], monomials(v, [pair], theta))
        store(v, total, raw, base, m * LANES)


def registers(v):
    """Vectors that registers hold while one or two are left for results."""
    return 30 if v.wide else 15


def in_registers(v):
    """The monomials in blocks whose sums and parameters have a register each."""
    blocks = [[]]
    for pair in MONOMIALS:
        block = [*blocks[-1], pair]
        if len(block) + len({j for pair in block for j in pair}) > registers(v):
            block = [pair]
            blocks.append(block)
        blocks[-1] = block
    return blocks


def add_kept(v, raw, base, buffer, count):
    """Add the moments of `count` vectors of each parameter, which stand together in a buffer."""
    first = 0
    for block in in_registers(v):
        used = sorted({j for pair in block for j in pair})
        # Few sums wait for themselves: two of each then take turns.
        turns = 2 if 2 * (len(block) + len(used)) <= registers(v) else 1
        begin = [load(v, raw, base, (first + m) * LANES) for m in range(len(block))]
        sums = Cells(v, [begin, *[[v.number(0.0)] * len(block)] * (turns - 1)])
        with cgutils.for_range(v.builder, v.builder.udiv(count, INDEX(turns))) as loop:
            at, now = v.builder.mul(loop.index, INDEX(turns * D * LENGTH)), []
            for turn, row in enumerate(sums.get()):
                theta = {j: [load(v, buffer, at, (turn * D + j) * LENGTH)] for j in used}
                now.append(add_monomials(v, row, monomials(v, block, theta)))
            sums.put(now)
        for m, totals in enumerate(zip(*sums.get())):
            total = totals[0] if turns == 1 else v.builder.fadd(*totals)
            store(v, total, raw, base, (first + m) * LANES)
        first += len(block)


def take_steps(v, theta, steps, unit, some, raw, base):
    """`steps` steps, `unit` at a time: some(count, keep) takes `count`, and calls keep(products) before each.

    `products` are the monomials of second degree, where they are at hand.
    """
    builder = v.builder

    def loops(number, keep):
        with cgutils.for_range(builder, builder.udiv(number, INDEX(unit))):
            some(unit, keep)
        if unit > 1:
            with cgutils.for_range(builder, builder.urem(number, INDEX(unit))):
                some(1, keep)

    if raw is None:
        loops(steps, lambda products=None: None)
        return
    if len(MONOMIALS) <= (9 if v.wide else 5):
        # The sums fill the time in which a step waits for its results, if there are registers for them.
        sums = Cells(v, [[load(v, raw, base, m * LANES) for m in range(len(MONOMIALS))]])

        def add(products=None):
            now = theta.get()
            values = now[:PARAMETERS] + products if products else monomials(v, MONOMIALS, now)
            sums.put([add_monomials(v, *sums.get(), values)])

        loops(steps, add)
        for m, total in enumerate(*sums.get()):
            store(v, total, raw, base, m * LANES)
        return
    # theta goes to a small buffer, so that the sums need registers only now and then.
    size = LENGTH * GROUPS * D
    most = max(1, min(64, (2048 if v.wide else 1024) // size))
    buffer = cgutils.alloca_once(builder, ir.DoubleType(), size=INDEX(most * size))
    buffer.align = 64  # a vector that crosses a cache line is stored and loaded twice
    left, filled = (cgutils.alloca_once_value(builder, start) for start in (steps, INDEX(0)))

    def keep(products=None):
        at = builder.load(filled)
        for j, row in enumerate(theta.get()):
            for g, value in enumerate(row):
                store(v, value, buffer, at, (g * D + j) * LENGTH)
        builder.store(builder.add(at, INDEX(size)), filled)

    chunks = builder.udiv(builder.add(steps, INDEX(most - 1)), INDEX(most))
    with cgutils.for_range(builder, chunks):
        many = builder.icmp_unsigned("<", builder.load(left), INDEX(most))
        count = builder.select(many, builder.load(left), INDEX(most))
        builder.store(builder.sub(builder.load(left), count), left)
        builder.store(INDEX(0), filled)
        loops(count, keep)
        add_kept(v, raw, base, buffer, builder.mul(count, INDEX(GROUPS)))
