"""A tile of vector registers as one value, for loops that must reach the machine's peak.

A core multiplies and adds two vectors per cycle, but can load only two and store one. A loop
``y[p] += tap * x[p]`` loads two vectors and stores one for each multiplication; it runs at the
speed of its loads. A *tile* is a block of ``M × N`` vectors of running sums that stay in
registers while the loop goes over the terms: M + N loads then feed M * N multiplications.

Compilers don't find this by themselves, so the tile is a type of its own: a value that holds
``M * N`` LLVM vectors, made by `zeros`, fed by `multiply_add` or `multiply_add_rows`, and
emptied by `store` or `add_sums`. The machine decides the sizes: 16 floats per vector and 8×3
vectors with AVX-512 (24 of 32 registers hold sums), 8 floats and 4×3 with AVX (12 of 16), 4
floats and 8×3 elsewhere (Arm has 32 registers, and computes 4 floats at once).

Float32 only. Memory is a contiguous 1-D array, or a pointer to one (`pointer`); positions are in
numbers, not bytes. Pieces that are called for every tile take pointers: an array counts who holds
it, and counting at each call costs more than a small tile, most of all where two threads count
the holders of one array.
"""

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic, models, register_model


def round_up(number, multiple):
    """Return the smallest multiple of `multiple` that is not below `number`."""
    return -(-number // multiple) * multiple


def _vector_width():
    """Return how many floats one vector register holds on the processor compiled for."""
    features = config.CPU_FEATURES
    if features is None and config.CPU_NAME is None:
        has = binding.get_host_cpu_features()
    else:
        has = {name[1:]: name[0] == "+" for name in (features or "").split(",") if name}
    if has.get("avx512f"):
        return 16
    return 8 if has.get("avx") else 4


WIDTH = _vector_width()
ROWS = 4 if WIDTH == 8 else 8
COLUMNS = 3
SPAN = COLUMNS * WIDTH
LINE = 16  # numbers in a line of the cache

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, WIDTH)
_INT = ir.IntType(32)
_LONG = ir.IntType(64)


class Tile(types.Type):
    """Numba's type of a tile of `rows` × `columns` vectors."""

    def __init__(self, rows, columns):
        self.rows = rows
        self.columns = columns
        super().__init__(name=f"Tile({rows}, {columns}, {WIDTH})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, ir.ArrayType(_VECTOR, fe_type.rows * fe_type.columns))


def _pointer(context, builder, array_type, array, position):
    if not isinstance(array_type, types.CPointer):
        array = context.make_array(array_type)(context, builder, array).data
    return builder.gep(array, [position])


def _load(builder, pointer):
    return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)


def _broadcast(builder, number):
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, _INT(0))
    lanes = ir.Constant(ir.VectorType(_INT, WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(first, undefined, lanes)


def _fma(builder):
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{WIDTH}f32")


def _offset(builder, position, steps):
    return builder.add(position, position.type(steps))


@intrinsic
def pointer(typing, array, at):
    """Return a pointer to array[at], to be used as long as something holds the array (`hold`)."""
    kind = array if isinstance(array, types.CPointer) else types.CPointer(array.dtype)

    def generate(context, builder, signature, args):
        return _pointer(context, builder, signature.args[0], *args)

    return kind(array, types.intp), generate


@intrinsic
def align(typing, start):
    """Return the first address from pointer `start` on that begins a line of 64 bytes."""

    def generate(context, builder, signature, args):
        address = builder.ptrtoint(args[0], _LONG)
        up = builder.and_(builder.add(address, _LONG(63)), _LONG(-64))
        return builder.inttoptr(up, args[0].type)

    return start(start), generate


@intrinsic
def hold(typing, array):
    """Do nothing. An array made in a kernel lives until its last mention, and this is one."""

    def generate(context, builder, signature, args):
        return context.get_dummy_value()

    return types.void(array), generate


@intrinsic(prefer_literal=True)
def zeros(typing, rows, columns):
    """Return a tile of zeros; rows and columns are constants."""
    tile = Tile(rows.literal_value, columns.literal_value)

    def generate(context, builder, signature, args):
        return ir.Constant(ir.ArrayType(_VECTOR, tile.rows * tile.columns), None)

    return tile(rows, columns), generate


@intrinsic
def multiply_add(typing, tile, a, at_a, step_a, b, at_b):
    """tile[i, j] += a[at_a + i * step_a] * (vector j of b from at_b): number times vector."""

    def generate(context, builder, signature, args):
        sums, a_array, a_at, a_step, b_array, b_at = args
        kind, a_type, _, _, b_type, _ = signature.args
        fma = _fma(builder)
        vectors = [
            _load(
                builder,
                _pointer(context, builder, b_type, b_array, _offset(builder, b_at, j * WIDTH)),
            )
            for j in range(kind.columns)
        ]
        for i in range(kind.rows):
            at = builder.add(a_at, builder.mul(a_step, a_step.type(i)))
            number = builder.load(_pointer(context, builder, a_type, a_array, at))
            factor = _broadcast(builder, number)
            for j, vector in enumerate(vectors):
                k = i * kind.columns + j
                total = builder.call(fma, [factor, vector, builder.extract_value(sums, k)])
                sums = builder.insert_value(sums, total, k)
        return sums

    return tile(tile, a, types.intp, types.intp, b, types.intp), generate


@intrinsic
def multiply_add_at(typing, tile, a, at_a, starts, first, b, at_b):
    """tile[i, j] += a[at_a + starts[first + i]] * (vector j of b from at_b).

    As `multiply_add`, for rows that don't follow each other at equal steps. The table `starts`
    stays the same in the innermost loop, where it costs nothing.
    """

    def generate(context, builder, signature, args):
        sums, a_array, a_at, table, begin, b_array, b_at = args
        kind, a_type, _, table_type, _, b_type, _ = signature.args
        fma = _fma(builder)
        vectors = [
            _load(
                builder,
                _pointer(context, builder, b_type, b_array, _offset(builder, b_at, j * WIDTH)),
            )
            for j in range(kind.columns)
        ]
        for i in range(kind.rows):
            at = _offset(builder, begin, i)
            start = builder.load(_pointer(context, builder, table_type, table, at))
            place = builder.add(start, a_at)
            number = builder.load(_pointer(context, builder, a_type, a_array, place))
            factor = _broadcast(builder, number)
            for j, vector in enumerate(vectors):
                k = i * kind.columns + j
                total = builder.call(fma, [factor, vector, builder.extract_value(sums, k)])
                sums = builder.insert_value(sums, total, k)
        return sums

    return tile(tile, a, types.intp, starts, types.intp, b, types.intp), generate


@intrinsic
def multiply_add_lanes(typing, tile, a, at_a, starts, first, b, at_b):
    """tile[i, 0] += (vector of a from at_a + starts[first + i]) * (vector of b from at_b)."""

    def generate(context, builder, signature, args):
        sums, a_array, a_at, table, begin, b_array, b_at = args
        kind, a_type, _, table_type, _, b_type, _ = signature.args
        fma = _fma(builder)
        right = _load(builder, _pointer(context, builder, b_type, b_array, b_at))
        for i in range(kind.rows):
            at = _offset(builder, begin, i)
            start = builder.load(_pointer(context, builder, table_type, table, at))
            place = builder.add(start, a_at)
            left = _load(builder, _pointer(context, builder, a_type, a_array, place))
            total = builder.call(fma, [left, right, builder.extract_value(sums, i)])
            sums = builder.insert_value(sums, total, i)
        return sums

    return tile(tile, a, types.intp, starts, types.intp, b, types.intp), generate


@intrinsic
def multiply_add_rows(typing, tile, a, at_a, step_a, b, at_b, offsets, first):
    """tile[i, j] += vector i of a * vector j of b, for inner products.

    Vector i of a is at ``at_a + i * step_a``, vector j of b at ``at_b + offsets[first + j]``.
    Lanes stay apart until `add_sums`.
    """

    def generate(context, builder, signature, args):
        sums, a_array, a_at, a_step, b_array, b_at, table, begin = args
        kind, a_type, _, _, b_type, _, table_type, _ = signature.args
        fma = _fma(builder)
        vectors = []
        for j in range(kind.columns):
            at = _offset(builder, begin, j)
            shift = builder.load(_pointer(context, builder, table_type, table, at))
            pointer = _pointer(context, builder, b_type, b_array, builder.add(b_at, shift))
            vectors.append(_load(builder, pointer))
        for i in range(kind.rows):
            at = builder.add(a_at, builder.mul(a_step, a_step.type(i)))
            left = _load(builder, _pointer(context, builder, a_type, a_array, at))
            for j, right in enumerate(vectors):
                k = i * kind.columns + j
                total = builder.call(fma, [left, right, builder.extract_value(sums, k)])
                sums = builder.insert_value(sums, total, k)
        return sums

    arguments = (tile, a, types.intp, types.intp, b, types.intp, offsets, types.intp)
    return tile(*arguments), generate


@intrinsic
def store(typing, tile, c, at_c, step_c):
    """Write row i of the tile to c[at_c + i * step_c...]."""

    def generate(context, builder, signature, args):
        sums, array, at, step = args
        kind, array_type, _, _ = signature.args
        for i in range(kind.rows):
            row = builder.add(at, builder.mul(step, step.type(i)))
            for j in range(kind.columns):
                position = _offset(builder, row, j * WIDTH)
                pointer = _pointer(context, builder, array_type, array, position)
                value = builder.extract_value(sums, i * kind.columns + j)
                builder.store(value, builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(tile, c, types.intp, types.intp), generate


@intrinsic
def store_at(typing, tile, c, at_c, places):
    """Write row i of the tile to c[at_c + places[i]...]."""

    def generate(context, builder, signature, args):
        sums, array, at, table = args
        kind, array_type, _, table_type = signature.args
        for i in range(kind.rows):
            place = _pointer(context, builder, table_type, table, at.type(i))
            row = builder.add(at, builder.load(place))
            for j in range(kind.columns):
                position = _offset(builder, row, j * WIDTH)
                pointer = _pointer(context, builder, array_type, array, position)
                value = builder.extract_value(sums, i * kind.columns + j)
                builder.store(value, builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(tile, c, types.intp, places), generate


@intrinsic
def add_to(typing, tile, c, at_c, step_c):
    """c[at_c + i * step_c...] += row i of the tile."""

    def generate(context, builder, signature, args):
        sums, array, at, step = args
        kind, array_type, _, _ = signature.args
        for i in range(kind.rows):
            row = builder.add(at, builder.mul(step, step.type(i)))
            for j in range(kind.columns):
                position = _offset(builder, row, j * WIDTH)
                pointer = _pointer(context, builder, array_type, array, position)
                value = builder.extract_value(sums, i * kind.columns + j)
                total = builder.fadd(_load(builder, pointer), value)
                builder.store(total, builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(tile, c, types.intp, types.intp), generate


@intrinsic
def add_sums(typing, tile, c, at_c, step_c):
    """c[at_c + i * step_c + j] += the sum of the lanes of vector (i, j)."""

    def generate(context, builder, signature, args):
        sums, array, at, step = args
        kind, array_type, _, _ = signature.args
        form = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        name = f"llvm.vector.reduce.fadd.v{WIDTH}f32"
        reduce = cgutils.get_or_insert_function(builder.module, form, name)
        for i in range(kind.rows):
            row = builder.add(at, builder.mul(step, step.type(i)))
            for j in range(kind.columns):
                pointer = _pointer(context, builder, array_type, array, _offset(builder, row, j))
                vector = builder.extract_value(sums, i * kind.columns + j)
                # 'reassoc' lets the lanes be added as a tree, in log2(WIDTH) steps
                total = builder.call(reduce, [_FLOAT(-0.0), vector], fastmath=("reassoc",))
                builder.store(builder.fadd(builder.load(pointer), total), pointer)
        return context.get_dummy_value()

    return types.void(tile, c, types.intp, types.intp), generate


# ---- single vectors: tiles of 1 × 1, for arithmetic that is the same in every lane ------------


@intrinsic
def load(typing, array, at):
    """Return the vector array[at], array[at + 1], ..."""

    def generate(context, builder, signature, args):
        vector = _load(builder, _pointer(context, builder, signature.args[0], *args))
        return builder.insert_value(ir.Constant(ir.ArrayType(_VECTOR, 1), None), vector, 0)

    return Tile(1, 1)(array, types.intp), generate


def _lanes(builder, count):
    """Return the mask of the first `count` lanes."""
    numbers = ir.Constant(ir.VectorType(count.type, WIDTH), list(range(WIDTH)))
    undefined = ir.Constant(numbers.type, ir.Undefined)
    first = builder.insert_element(undefined, count, _INT(0))
    lanes = ir.Constant(ir.VectorType(_INT, WIDTH), [0] * WIDTH)
    return builder.icmp_signed("<", numbers, builder.shuffle_vector(first, undefined, lanes))


@intrinsic
def load_some(typing, array, at, count):
    """Return the vector array[at], ..., array[at + count - 1], 0, 0, ...; count may be anything."""

    def generate(context, builder, signature, args):
        source, begin, number = args
        pointer = _pointer(context, builder, signature.args[0], source, begin)
        pointer = builder.bitcast(pointer, _VECTOR.as_pointer())
        mask = _lanes(builder, number)
        form = ir.FunctionType(_VECTOR, [pointer.type, _INT, mask.type, _VECTOR])
        name = f"llvm.masked.load.v{WIDTH}f32.p0"
        read = cgutils.get_or_insert_function(builder.module, form, name)
        vector = builder.call(read, [pointer, _INT(4), mask, ir.Constant(_VECTOR, None)])
        return builder.insert_value(ir.Constant(ir.ArrayType(_VECTOR, 1), None), vector, 0)

    return Tile(1, 1)(array, types.intp, types.intp), generate


@intrinsic
def store_some(typing, vector, array, at, count):
    """Write the first `count` numbers of the vector to array[at], ...; count may be anything."""

    def generate(context, builder, signature, args):
        value, target, begin, number = args
        pointer = _pointer(context, builder, signature.args[1], target, begin)
        pointer = builder.bitcast(pointer, _VECTOR.as_pointer())
        mask = _lanes(builder, number)
        form = ir.FunctionType(ir.VoidType(), [_VECTOR, pointer.type, _INT, mask.type])
        name = f"llvm.masked.store.v{WIDTH}f32.p0"
        write = cgutils.get_or_insert_function(builder.module, form, name)
        builder.call(write, [builder.extract_value(value, 0), pointer, _INT(4), mask])
        return context.get_dummy_value()

    return types.void(vector, array, types.intp, types.intp), generate


@intrinsic
def times(typing, a, factor):
    """Return the vector a * factor; factor is a number."""

    def generate(context, builder, signature, args):
        number = context.cast(builder, args[1], signature.args[1], types.float32)
        vector = builder.extract_value(args[0], 0)
        return builder.insert_value(args[0], builder.fmul(vector, _broadcast(builder, number)), 0)

    return a(a, factor), generate


@intrinsic
def plus(typing, a, b, factor):
    """Return a + factor * b, lane by lane: a tile, a vector for each of its rows, a number."""

    def generate(context, builder, signature, args):
        sums, vector, number = args
        vector = builder.extract_value(vector, 0)
        factor = _broadcast(
            builder, context.cast(builder, number, signature.args[2], types.float32)
        )
        for k in range(signature.args[0].rows):
            total = builder.call(_fma(builder), [factor, vector, builder.extract_value(sums, k)])
            sums = builder.insert_value(sums, total, k)
        return sums

    return a(a, b, factor), generate


@intrinsic
def plus_row(typing, tile, a, at):
    """tile[i, j] += vector j of a from `at`: the same row for every i."""

    def generate(context, builder, signature, args):
        sums, array, begin = args
        kind, array_type, _ = signature.args
        for j in range(kind.columns):
            position = _offset(builder, begin, j * WIDTH)
            vector = _load(builder, _pointer(context, builder, array_type, array, position))
            for k in range(j, kind.rows * kind.columns, kind.columns):
                total = builder.fadd(builder.extract_value(sums, k), vector)
                sums = builder.insert_value(sums, total, k)
        return sums

    return tile(tile, a, types.intp), generate


@intrinsic
def positive(typing, tile):
    """Return the tile with 0 for every negative number; a NaN stays."""

    def generate(context, builder, signature, args):
        sums = args[0]
        zero = ir.Constant(_VECTOR, None)
        for k in range(tile.rows * tile.columns):
            value = builder.extract_value(sums, k)
            off = builder.fcmp_ordered("<=", value, zero)
            sums = builder.insert_value(sums, builder.select(off, zero, value), k)
        return sums

    return tile(tile), generate


@intrinsic
def where_positive(typing, tile, on):
    """Return the tile with 0 wherever the tile `on` isn't positive; a NaN in `on` lets pass."""

    def generate(context, builder, signature, args):
        sums, mask = args
        zero = ir.Constant(_VECTOR, None)
        for k in range(tile.rows * tile.columns):
            off = builder.fcmp_ordered("<=", builder.extract_value(mask, k), zero)
            value = builder.select(off, zero, builder.extract_value(sums, k))
            sums = builder.insert_value(sums, value, k)
        return sums

    return tile(tile, on), generate


@intrinsic
def load_tile(typing, tile, c, at_c, step_c):
    """Return a tile of the shape of `tile` whose row i is c[at_c + i * step_c...]."""

    def generate(context, builder, signature, args):
        sums, array, at, step = args
        kind, array_type, _, _ = signature.args
        for i in range(kind.rows):
            row = builder.add(at, builder.mul(step, step.type(i)))
            for j in range(kind.columns):
                position = _offset(builder, row, j * WIDTH)
                vector = _load(builder, _pointer(context, builder, array_type, array, position))
                sums = builder.insert_value(sums, vector, i * kind.columns + j)
        return sums

    return tile(tile, c, types.intp, types.intp), generate


@intrinsic
def prefetch_tile(typing, tile, c, at_c, step_c):
    """Ask for the memory that `store` or `add_to` with these arguments will write."""

    def generate(context, builder, signature, args):
        _, array, at, step = args
        kind, array_type, _, _ = signature.args
        byte = ir.IntType(8).as_pointer()
        form = ir.FunctionType(ir.VoidType(), [byte, _INT, _INT, _INT])
        ask = cgutils.get_or_insert_function(builder.module, form, "llvm.prefetch.p0")
        for i in range(kind.rows):
            row = builder.add(at, builder.mul(step, step.type(i)))
            # the last number has a line of its own where the row begins in mid-line
            for ahead in (*range(0, kind.columns * WIDTH, LINE), kind.columns * WIDTH - 1):
                place = _pointer(context, builder, array_type, array, _offset(builder, row, ahead))
                builder.call(ask, [builder.bitcast(place, byte), _INT(1), _INT(3), _INT(1)])
        return context.get_dummy_value()

    return types.void(tile, c, types.intp, types.intp), generate


@intrinsic
def load_across(typing, array, at, step):
    """Return 4 vectors: lane i of vector k is array[at + i * step + k]."""

    def generate(context, builder, signature, args):
        source, begin, distance = args
        parts = []
        for i in range(WIDTH):
            place = builder.add(begin, builder.mul(distance, distance.type(i)))
            pointer = _pointer(context, builder, signature.args[0], source, place)
            four = builder.bitcast(pointer, ir.VectorType(_FLOAT, 4).as_pointer())
            parts.append(builder.load(four, align=4))
        while len(parts) > 1:  # side by side, until one long vector holds them all
            size = 2 * parts[0].type.count
            mask = ir.Constant(ir.VectorType(_INT, size), list(range(size)))
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [builder.shuffle_vector(left, right, mask) for left, right in pairs]
        tile = ir.Constant(ir.ArrayType(_VECTOR, 4), None)
        for k in range(4):
            mask = ir.Constant(ir.VectorType(_INT, WIDTH), [4 * i + k for i in range(WIDTH)])
            vector = builder.shuffle_vector(parts[0], parts[0], mask)
            tile = builder.insert_value(tile, vector, k)
        return tile

    return Tile(4, 1)(array, types.intp, types.intp), generate


@intrinsic
def store_across(typing, tile, array, at, step):
    """Undo `load_across`: array[at + i * step + k] = lane i of vector k, of 4."""

    def generate(context, builder, signature, args):
        vectors = [builder.extract_value(args[0], k) for k in range(4)]
        _, target, begin, distance = args
        lanes = [lane + side * WIDTH for lane in range(WIDTH) for side in (0, 1)]
        mask = ir.Constant(ir.VectorType(_INT, 2 * WIDTH), lanes)
        left = builder.shuffle_vector(vectors[0], vectors[1], mask)
        right = builder.shuffle_vector(vectors[2], vectors[3], mask)
        for i in range(WIDTH):
            lanes = [2 * i, 2 * i + 1, 2 * (i + WIDTH), 2 * (i + WIDTH) + 1]
            mask = ir.Constant(ir.VectorType(_INT, 4), lanes)
            place = builder.add(begin, builder.mul(distance, distance.type(i)))
            pointer = _pointer(context, builder, signature.args[1], target, place)
            four = builder.bitcast(pointer, ir.VectorType(_FLOAT, 4).as_pointer())
            builder.store(builder.shuffle_vector(left, right, mask), four, align=4)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp, types.intp), generate


# ---- vectors of complex numbers: re, im, re, im, ... --------------------------------------------


@intrinsic
def exchange(typing, a):
    """Return the vector in which each re and its im have changed places."""

    def generate(context, builder, signature, args):
        vector = builder.extract_value(args[0], 0)
        mask = ir.Constant(ir.VectorType(_INT, WIDTH), [lane ^ 1 for lane in range(WIDTH)])
        return builder.insert_value(args[0], builder.shuffle_vector(vector, vector, mask), 0)

    return a(a), generate


@intrinsic
def merge(typing, a, b):
    """Return the vector with every re of a and every im of b."""

    def generate(context, builder, signature, args):
        left, right = (builder.extract_value(argument, 0) for argument in args)
        lanes = [lane + WIDTH * (lane % 2) for lane in range(WIDTH)]
        mask = ir.Constant(ir.VectorType(_INT, WIDTH), lanes)
        return builder.insert_value(args[0], builder.shuffle_vector(left, right, mask), 0)

    return a(a, b), generate
