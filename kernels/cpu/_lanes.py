"""Vectors of channels as single values, for loops that choose and add lane by lane.

The compiler makes vectors of an innermost loop over channels by itself, but asks at each start
whether the arrays overlap, and does the channels beyond the last whole vector one by one; with 20
channels that takes longer than the work. Here a vector is loaded, worked on and stored by name,
and `lanes` says how many of its numbers count: fewer where the channels end.

Arrays are 1-D, contiguous, of any type; positions are in numbers. Without the compiler
(``NUMBA_DISABLE_JIT``) a vector is a small NumPy array.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic, models, register_model

from . import _simd
from ._jit import helper

WIDTH = 16 if config.DISABLE_JIT else _simd.WIDTH


class Lanes(types.Type):
    """Numba's type of a vector of WIDTH numbers; of `types.boolean` it is a choice."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype}, {WIDTH})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        number = manager.lookup(fe_type.dtype)
        element = ir.IntType(1) if fe_type.dtype == types.boolean else number.get_value_type()
        super().__init__(manager, fe_type, ir.VectorType(element, WIDTH))


def _vector(context, dtype):
    return context.get_value_type(Lanes(dtype))


def _pointer(context, builder, array_type, array, at):
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.gep(data, [at])
    return builder.bitcast(pointer, _vector(context, array_type.dtype).as_pointer())


def _every(builder, number, kind):
    """Return a vector of type `kind` with `number` in each lane."""
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(first, first, lanes)


def _first(builder, lanes):
    """Return the choice of the first `lanes` lanes."""
    kind = ir.VectorType(lanes.type, WIDTH)
    numbers = ir.Constant(kind, list(range(WIDTH)))
    return builder.icmp_signed("<", numbers, _every(builder, lanes, kind))


def _masked(builder, operation, vector, *rest):
    """Return LLVM's function that loads or stores some lanes of a vector."""
    element = {"float": "f32", "double": "f64"}.get(str(vector.element), str(vector.element))
    result = vector if operation == "load" else ir.VoidType()
    name = f"llvm.masked.{operation}.v{WIDTH}{element}.p0"
    kind = ir.FunctionType(result, rest)
    return cgutils.get_or_insert_function(builder.module, kind, name)


@intrinsic
def _load_whole(typing, array, at):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def _load_part(typing, array, at, lanes):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        chosen = _first(builder, args[2])
        align = ir.IntType(32)(array.dtype.bitwidth // 8)
        rest = ir.Constant(_vector(context, array.dtype), None)
        given = pointer, align, chosen, rest
        kinds = [value.type for value in given]
        return builder.call(_masked(builder, "load", rest.type, *kinds), given)

    return Lanes(array.dtype)(array, types.intp, types.intp), generate


@intrinsic
def _store_whole(typing, vector, array, at):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[1], *args[1:])
        builder.store(args[0], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(vector, array, types.intp), generate


@intrinsic
def _store_part(typing, vector, array, at, lanes):
    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[1], *args[1:3])
        align = ir.IntType(32)(array.dtype.bitwidth // 8)
        given = args[0], pointer, align, _first(builder, args[3])
        kinds = [value.type for value in given]
        builder.call(_masked(builder, "store", args[0].type, *kinds), given)
        return context.get_dummy_value()

    return types.void(vector, array, types.intp, types.intp), generate


@helper
def load(array, at, lanes):
    """Return array[at], array[at + 1], ...; only `lanes` numbers are looked at."""
    return _load_whole(array, at) if lanes == WIDTH else _load_part(array, at, lanes)


@helper
def store(vector, array, at, lanes):
    """Write the first `lanes` numbers of the vector to array[at], array[at + 1], ..."""
    if lanes == WIDTH:
        _store_whole(vector, array, at)
    else:
        _store_part(vector, array, at, lanes)


@intrinsic
def every(typing, array, number, lanes):
    """Return a vector of `array`'s type with the same number in every lane."""

    def generate(context, builder, signature, args):
        value = context.cast(builder, args[1], signature.args[1], array.dtype)
        return _every(builder, value, _vector(context, array.dtype))

    return Lanes(array.dtype)(array, number, lanes), generate


@intrinsic
def beats(typing, values, best):
    """Return where a value is larger, or the first NaN: against that, nothing wins any more."""

    def generate(context, builder, signature, args):
        larger = builder.fcmp_unordered(">", *args)
        return builder.and_(larger, builder.fcmp_ordered("ord", args[1], args[1]))

    return Lanes(types.boolean)(values, best), generate


@intrinsic
def equal(typing, numbers, number):
    """Return where the whole numbers of a vector are equal to a number."""

    def generate(context, builder, signature, args):
        value = context.cast(builder, args[1], signature.args[1], numbers.dtype)
        return builder.icmp_signed("==", args[0], _every(builder, value, args[0].type))

    return Lanes(types.boolean)(numbers, number), generate


@intrinsic
def choose(typing, where, these, those):
    """Return `these` where the choice says so, and `those` elsewhere."""

    def generate(context, builder, signature, args):
        return builder.select(*args)

    return these(where, these, those), generate


@intrinsic
def plus(typing, one, other):
    """Return the sum, lane by lane."""

    def generate(context, builder, signature, args):
        return builder.fadd(*args)

    return one(one, other), generate


@intrinsic
def over(typing, vector, number):
    """Return the vector divided by a number."""

    def generate(context, builder, signature, args):
        divisor = context.cast(builder, args[1], signature.args[1], vector.dtype)
        return builder.fdiv(args[0], _every(builder, divisor, args[0].type))

    return vector(vector, number), generate


@intrinsic
def times(typing, vector, number):
    """Return the vector times a number."""

    def generate(context, builder, signature, args):
        factor = context.cast(builder, args[1], signature.args[1], vector.dtype)
        return builder.fmul(args[0], _every(builder, factor, args[0].type))

    return vector(vector, number), generate


@intrinsic
def minus(typing, one, other):
    """Return the difference, lane by lane."""

    def generate(context, builder, signature, args):
        return builder.fsub(*args)

    return one(one, other), generate


@intrinsic
def plus_product(typing, total, one, other):
    """Return total + one * other, lane by lane, rounded once."""

    def generate(context, builder, signature, args):
        kind = args[0].type
        element = {"float": "f32", "double": "f64"}[str(kind.element)]
        function = ir.FunctionType(kind, [kind] * 3)
        name = f"llvm.fma.v{WIDTH}{element}"
        fma = cgutils.get_or_insert_function(builder.module, function, name)
        return builder.call(fma, [args[1], args[2], args[0]])

    return total(total, one, other), generate


@intrinsic
def wide(typing, vector):
    """Return the vector in float64."""

    def generate(context, builder, signature, args):
        kind = _vector(context, types.float64)
        return args[0] if args[0].type == kind else builder.fpext(args[0], kind)

    return Lanes(types.float64)(vector), generate


if config.DISABLE_JIT:

    def load(array, at, lanes):
        """Return array[at], array[at + 1], ..."""
        assert 0 <= at <= at + lanes <= array.size
        return array[at : at + lanes].copy()

    def store(vector, array, at, lanes):
        """Write the vector to array[at], array[at + 1], ..."""
        assert 0 <= at <= at + lanes <= array.size
        array[at : at + lanes] = vector

    def every(array, number, lanes):
        """Return a vector of `array`'s type with the same number in every lane."""
        return np.full(lanes, number, array.dtype)

    def beats(values, best):
        """Return where a value is larger, or the first NaN."""
        return ~(values <= best) & (best == best)

    def over(vector, number):
        """Return the vector divided by a number."""
        return vector / vector.dtype.type(number)

    def times(vector, number):
        """Return the vector times a number."""
        return vector * vector.dtype.type(number)

    def plus_product(total, one, other):
        """Return total + one * other, lane by lane."""
        return total + one * other

    equal, choose, plus, minus, wide = np.equal, np.where, np.add, np.subtract, np.float64
