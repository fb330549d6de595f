"""What a GPU's core can do beyond the plain language: wide loads, copies, tensor cores, shuffles.

Each is a function to be called inside kernels, and each has two versions in this file. On a GPU it
is one instruction of the PTX assembly, put there through LLVM. In Numba's simulator, which knows
none of them, it is plain Python that does the same: ``mma_tf32`` and ``block_sum`` pass numbers
between the threads of a warp through shared memory, by the layouts that NVIDIA documents, so a
kernel that arranges its operands wrongly gives wrong results there too.

``shared_floats(count)``
    Make a function that returns the block's shared memory, ``count`` float32 at a multiple of 16
    bytes.
``load4(array, i)``
    Elements i to i + 3 at once, i a multiple of 4.
``array_at(address, size, like)``
    The array of ``size`` numbers of the type of ``like`` that begins at an address; the simulator's
    are the host's.
``copy(target, i, source, j, wanted)``
    ``target[i] = source[j]``, or 0 where not wanted; then nothing is read. ``copy_async`` is the
    same without waiting: the number travels to shared memory past the registers, while the thread
    goes on. From compute capability 8.0 on.
``wait_for_copies()``
    Wait until all copies that this thread has sent have arrived. Threads still have to meet
    (``cuda.syncthreads()``) before one reads what another copied.
``round_tf32(x)``
    The bits of x rounded to 10 of its 23 digits, to the nearest: what tensor cores multiply.
``mma_tf32(a0 ... a3, b0, b1, c0 ... c3)``
    D = A B + C by the 32 threads of a warp together, A (16, 8), B (8, 8), C and D (16, 8). With
    ``g = lane // 4`` and ``t = lane % 4`` a lane hands in A[g, t], A[g + 8, t], A[g, t + 4],
    A[g + 8, t + 4]; B[t, g], B[t + 4, g]; C[g, 2 t], C[g, 2 t + 1], C[g + 8, 2 t],
    C[g + 8, 2 t + 1], and gets those of D. PTX ISA, "Matrix Fragments for mma.m16n8k8".
``columns_up(rows, columns)``
    Make a function that moves every column of a thread's own small matrix into the place of the
    one before. Registers have no addresses: a loop can't choose one by its count. While a thread
    writes its results, column 0 is therefore always the next one, and the others move up. The moves
    are written out one by one, since compilers differ in which loops they unroll.
``block_sum(x)``
    The sum of all threads' x, for every thread of a block of whole warps: within a warp by
    shuffles, 16 + 8 + 4 + 2 + 1 lanes further on, then over the warps by shared memory. float64.
    The order of adding is always the same.

In the simulator all threads of a block must call the last two together.
"""

import ctypes
import threading

import numpy as np

from ._cuda import SIMULATED, cuda, device, intrinsic, running_block

WARP = 32  # threads that run in step


if SIMULATED:
    # the simulator makes an array when the first thread asks; two at once would get one each
    _one_at_a_time = threading.Lock()

    def shared_floats(count):
        """Return a function that returns the block's shared memory."""

        def make():
            with _one_at_a_time:
                return running_block().shared.array(count, np.float32)

        return make

    def load4(array, i):
        """Return four neighbouring elements."""
        assert i % 4 == 0, "a wide load starts at a multiple of 16 bytes"
        return array[i], array[i + 1], array[i + 2], array[i + 3]

    def array_at(address, size, like):
        """Return the array that begins at an address."""
        dtype = np.dtype(type(like))
        held = (ctypes.c_char * (int(size) * dtype.itemsize)).from_address(int(address))
        return np.frombuffer(held, dtype)

    def copy(target, i, source, j, wanted):
        """Copy one number, or write 0."""
        target[i] = source[j] if wanted else 0

    copy_async = copy

    def wait_for_copies():
        """Do nothing: copies have arrived."""

    def round_tf32(x):
        """Return the bits of x, rounded to the nearest, and away from zero in the middle."""
        bits = np.float32(x).view(np.uint32)
        return bits if not np.isfinite(x) else np.uint32((int(bits) + 0x1000) & 0xFFFFE000)

    def _exchange(numbers):
        """Return what all threads of the block hand in, and their own thread's number."""
        block = running_block()
        thread = block.threadIdx.x
        with _one_at_a_time:
            board = block.shared.array((1024, 8), np.float64)
        block.syncthreads()
        board[thread, : len(numbers)] = numbers
        block.syncthreads()
        return board, thread

    def mma_tf32(a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
        """Return the lane's four numbers of A B + C; other lanes hold most of the operands."""
        operands = np.array([a0, a1, a2, a3, b0, b1], np.uint32).view(np.float32)
        board, thread = _exchange(operands)
        first, lane = thread - thread % WARP, thread % WARP
        found = []
        for n, c in enumerate((c0, c1, c2, c3)):
            row, column = lane // 4 + 8 * (n // 2), 2 * (lane % 4) + n % 2
            total = np.float64(c)
            for k in range(8):
                a = board[first + row % 8 * 4 + k % 4, row // 8 + 2 * (k // 4)]
                total += a * board[first + column * 4 + k % 4, 4 + k // 4]
            found.append(np.float32(total))
        return tuple(found)

    def columns_up(rows, columns):
        """Return what moves the columns of a small matrix up by one."""

        def shift(matrix):
            for i in range(rows):
                for j in range(columns - 1):
                    matrix[i * columns + j] = matrix[i * columns + j + 1]

        return shift

    def block_sum(x):
        """Return the sum over all threads of the block, added up in the order of the shuffles."""
        board, _ = _exchange((x,))
        warps = board[: running_block().blockDim.x, 0].reshape(-1, WARP)
        for distance in (16, 8, 4, 2, 1):
            warps = warps[:, :distance] + warps[:, distance:]
        total = np.float64(0)
        for warp in warps:
            total += warp[0]
        return total

else:
    from llvmlite import ir
    from numba import types

    _FLOAT, _INT, _LONG, _VOID = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.VoidType()
    _ALL_LANES = 0xFFFFFFFF

    def shared_floats(count):
        """Return a function that returns the block's shared memory."""

        def make():
            return cuda.shared.array(count, np.float32, alignment=16)

        # only a kernel itself may own an array, so the line has to become one of the kernel's
        return make if cuda is None else cuda.jit(make, device=True, inline="always")

    def _element(context, builder, array_type, array, index_type, index):
        """Return a pointer to an element, counted in C order."""
        data = context.make_array(array_type)(context, builder, array).data
        return builder.gep(data, [context.cast(builder, index, index_type, types.intp)])

    def _shared_address(builder, pointer):
        """Return the 32-bit address within shared memory."""
        shared = ir.PointerType(pointer.type.pointee, addrspace=3)
        return builder.ptrtoint(builder.addrspacecast(pointer, shared), _INT)

    def _instruction(builder, result, operands, text, constraints):
        """Put in one instruction that has effects, so that it stays where it is."""
        function = ir.FunctionType(result, [operand.type for operand in operands])
        assembly = ir.InlineAsm(function, text, constraints, side_effect=True)
        return builder.call(assembly, operands)

    @intrinsic
    def load4(typing, array, i):
        """Return four neighbouring elements."""

        def generate(context, builder, signature, values):
            pointer = _element(context, builder, array, values[0], signature.args[1], values[1])
            wide = builder.bitcast(pointer, ir.VectorType(_FLOAT, 4).as_pointer())
            loaded = builder.load(wide, align=16)
            parts = [builder.extract_element(loaded, _INT(n)) for n in range(4)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(types.float32, 4)(array, i), generate

    @intrinsic
    def array_at(typing, address, size, like):
        """Return the array that begins at an address."""
        found = types.Array(like, 1, "C")

        def generate(context, builder, signature, values):
            array = context.make_array(found)(context, builder)
            pointer = builder.inttoptr(values[0], array.data.type)
            itemsize = _LONG(context.get_abi_sizeof(pointer.type.pointee))
            nobody = ir.Constant(array.meminfo.type, None), ir.Constant(array.parent.type, None)
            array.data, array.nitems, array.itemsize = pointer, values[1], itemsize
            array.meminfo, array.parent = nobody
            array.shape = builder.insert_value(array.shape, values[1], 0)
            array.strides = builder.insert_value(array.strides, itemsize, 0)
            return array._getvalue()

        return found(types.int64, types.int64, like), generate

    @device
    def copy(target, i, source, j, wanted):
        """Copy one number, or write 0."""
        target[i] = source[j] if wanted else np.float32(0)

    @intrinsic
    def copy_async(typing, target, i, source, j, wanted):
        """Send one number, or write 0: of 4 bytes to write, 4 or none are read."""

        def generate(context, builder, signature, values):
            to, _, origin, _, _ = signature.args
            here = _element(context, builder, to, values[0], signature.args[1], values[1])
            there = _element(context, builder, origin, values[2], signature.args[3], values[3])
            count = builder.select(values[4], _INT(4), _INT(0))
            operands = [_shared_address(builder, here), builder.ptrtoint(there, _LONG), count]
            text = "cp.async.ca.shared.global [$0], [$1], 4, $2;"
            _instruction(builder, _VOID, operands, text, "r,l,r,~{memory}")
            return context.get_dummy_value()

        return types.void(target, i, source, j, types.boolean), generate

    @intrinsic
    def wait_for_copies(typing):
        """Wait until what this thread has sent has arrived."""

        def generate(context, builder, signature, values):
            _instruction(builder, _VOID, [], "cp.async.wait_all;", "~{memory}")
            return context.get_dummy_value()

        return types.void(), generate

    @intrinsic
    def round_tf32(typing, x):
        """Return the bits of x, rounded to the nearest, and away from zero in the middle."""

        def generate(context, builder, signature, values):
            return _instruction(builder, _INT, values, "cvt.rna.tf32.f32 $0, $1;", "=r,f")

        return types.uint32(types.float32), generate

    @intrinsic
    def mma_tf32(typing, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
        """Return the lane's four numbers of A B + C."""
        bits, number = types.uint32, types.float32

        def generate(context, builder, signature, values):
            found = _instruction(
                builder,
                ir.LiteralStructType([_FLOAT] * 4),
                values,
                "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                "{$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};",
                "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f",
            )
            parts = [builder.extract_value(found, n) for n in range(4)]
            return context.make_tuple(builder, signature.return_type, parts)

        return types.UniTuple(number, 4)(*[bits] * 6, *[number] * 4), generate

    def columns_up(rows, columns):
        """Return what moves the columns of a small matrix up by one."""

        @intrinsic
        def shift(typing, matrix):
            def generate(context, builder, signature, values):
                data = context.make_array(matrix)(context, builder, values[0]).data
                for i in range(rows):
                    for j in range(columns - 1):
                        place = i * columns + j
                        moved = builder.load(builder.gep(data, [_INT(place + 1)]))
                        builder.store(moved, builder.gep(data, [_INT(place)]))
                return context.get_dummy_value()

            return types.void(matrix), generate

        return shift

    @device
    def block_sum(x):
        """Return the sum over all threads of the block."""
        sums = cuda.shared.array(WARP, np.float64)
        thread = cuda.threadIdx.x
        x += cuda.shfl_down_sync(_ALL_LANES, x, 16)
        x += cuda.shfl_down_sync(_ALL_LANES, x, 8)
        x += cuda.shfl_down_sync(_ALL_LANES, x, 4)
        x += cuda.shfl_down_sync(_ALL_LANES, x, 2)
        x += cuda.shfl_down_sync(_ALL_LANES, x, 1)
        if thread % WARP == 0:
            sums[thread // WARP] = x
        cuda.syncthreads()
        total = np.float64(0)
        for warp in range(cuda.blockDim.x // WARP):
            total += sums[warp]
        cuda.syncthreads()  # all have read before the next sum overwrites
        return total
