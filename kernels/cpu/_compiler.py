"""A compiler that makes machine code of a kernel once, instead of five times.

On the way to a parallel kernel Numba makes many libraries: one for each helper, for the body of the
``prange`` loop, for two wrappers around that body, and for the function that holds copies of them
all. It optimises every one of them and emits its machine code, though only the last ever runs. Here
a library waits until somebody asks for an address in it; until then it is text for others to copy.
A helper alone is optimised early, as Numba does, since loops are vectorised best before they are
copied. The kernels come out the same, in three fifths of the time.

Numba's pieces are used as they are, and no other code that Numba compiles in this process sees
anything of it: each compilation has a target of its own, which shares the engine.
"""

import contextlib
import copy
import functools
import itertools
import threading

from llvmlite import binding
from numba import njit
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import Compiler
from numba.core.cpu import CPUContext
from numba.core.registry import CPUDispatcher

__all__ = ["Kernel", "LateContext", "compile_helper", "compile_kernel", "noting_kernels"]


class LateLibrary(JITCodeLibrary):
    """Code that is optimised and emitted when an address in it is asked for, if ever."""

    optimised_early = False
    _emitted = False
    _bitcode = None

    def _optimize_functions(self, ll_module):
        """Optimise each function by itself, with one set of passes for all of them."""
        ll_module.data_layout = self._codegen._data_layout
        passes, builder = self._codegen._function_pass_manager()
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def _optimize_final_module(self):
        if self.optimised_early:
            super()._optimize_final_module()

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def _emit(self):
        if not self._emitted:
            self._emitted = True
            super()._optimize_final_module()
            self._final_module.verify()
            super()._finalize_final_module()
            self._codegen.set_waiting_environments(self._final_module)

    def get_pointer_to_function(self, name):
        """Return the address of a function, or 0 if there is none of that name."""
        self._ensure_finalized()
        if any(function.name == name for function in self.get_defined_functions()):
            self._emit()
        return super().get_pointer_to_function(name)

    def _get_compiled_object(self):
        self._emit()
        return super()._get_compiled_object()

    def serialize_using_object_code(self):
        """Return what `_unserialize` needs, in pieces that a pickle can hold."""
        name, kind, (machine_code, bitcode) = super().serialize_using_object_code()
        module = self._final_module
        both = itertools.chain(module.functions, module.global_variables)
        symbols = {symbol.name for symbol in both if not symbol.is_declaration}
        return name, kind, (machine_code, bitcode, symbols)

    @classmethod
    def _unserialize(cls, codegen, state):
        """Return a library that is machine code already; what others may copy stays packed."""
        name, _, (machine_code, bitcode, symbols) = state
        self = cls(codegen, name)
        self.enable_object_caching()
        self._set_compiled_object(machine_code)
        self._bitcode = bitcode
        self._emitted = True
        JITCodeLibrary._finalize_final_module(self)
        codegen._engine._defined_symbols |= symbols
        return self

    def _get_module_for_linking(self):
        if self._bitcode and self._shared_module is None:
            self._shared_module = binding.parse_bitcode(self._bitcode)
        return super()._get_module_for_linking()


class LateCodegen(JITCPUCodegen):
    """Numba's own maker of machine code, and its engine, but with libraries that wait."""

    _library_class = LateLibrary

    @classmethod
    @functools.cache
    def beside(cls, codegen):
        """Return one that shares everything with Numba's."""
        late = copy.copy(codegen)
        late.__class__ = cls
        late._waiting = {}
        return late

    def set_env(self, env_name, env):
        """Tell a function where its environment lies, or keep that until it is machine code."""
        if self._engine.is_symbol_defined(env_name):
            super().set_env(env_name, env)
        else:
            self._waiting[env_name] = env

    def set_waiting_environments(self, module):
        """Do what `set_env` put off, for every function that a module got a copy of."""
        for variable in module.global_variables:
            if variable.name in self._waiting:
                super().set_env(variable.name, self._waiting[variable.name])


class LateContext(CPUContext):
    """Numba's target, with libraries that wait, and a wrapper for what Python calls alone."""

    called_from_python = None

    @classmethod
    def from_numba(cls, context):
        """Return a target that shares everything with Numba's but its libraries."""
        late = copy.copy(context)
        late._internal_codegen = LateCodegen.beside(context.codegen())
        late.__class__ = cls
        return late

    def create_cpython_wrapper(self, library, fndesc, env, call_helper, release_gil=False):
        """Make it for the kernel; the body of its loop, a function too, is called by the kernel."""
        if fndesc.qualname == self.called_from_python:
            super().create_cpython_wrapper(library, fndesc, env, call_helper, release_gil)


class KernelCompiler(Compiler):
    """Numba's compiler for a `LateContext`."""

    def compile_extra(self, func):
        """Compile one function."""
        context = LateContext.from_numba(self.state.targetctx)
        context.called_from_python = func.__qualname__
        library = context.codegen().create_library(func.__qualname__)
        library.enable_object_caching()
        library.optimised_early = self.state.flags.no_cpython_wrapper
        self.state.library = library
        self.state.targetctx = context
        return super().compile_extra(func)


class Helper(CPUDispatcher):
    """A compiled function without the wrapper that a call from Python needs."""

    def __call__(self, *args, **kwargs):
        """Refuse what would end in a crash."""
        raise TypeError(
            f"{self.py_func.__qualname__} is a @helper, which only a kernel can call; "
            f"from Python call {self.py_func.__qualname__}.py_func, its plain loops"
        )


class Kernel(CPUDispatcher):
    """A compiled function for Python, which can be asked to note its calls instead of running."""

    def compile(self, sig):
        """Return the function for arguments of these types, compiled if need be."""
        if _thread.notes is not None:
            _thread.notes.append((self, sig))
            return _do_nothing
        return super().compile(sig)

    def is_ready(self, sig):
        """Return whether it runs at once: compiled in this process, or in the cache."""
        holds = getattr(self._cache, "holds", None)  # which a cache that is turned off lacks
        return sig in self.overloads or (holds is not None and holds(sig, self.targetctx))

    @property
    def size(self):
        """Bytes of bytecode, helpers included: the more, the longer the compiler will need."""
        return _size(self.py_func)


class _Thread(threading.local):
    """What each thread has for itself."""

    notes = None


_thread = _Thread()


def _do_nothing(*args):
    """Stand in for a kernel whose call was noted."""


def _size(function):
    names = function.__code__.co_names
    called = (function.__globals__.get(name) for name in names)
    helpers = sum(_size(each.py_func) for each in called if isinstance(each, Helper))
    return len(function.__code__.co_code) + helpers


@contextlib.contextmanager
def noting_kernels():
    """Yield a list, to which kernels go that this thread calls, instead of running.

    An entry is a pair: the kernel, and the types of its arguments. A kernel that is loaded already
    does run. The numbers that one would have written are whatever lay in that memory.
    """
    before, _thread.notes = _thread.notes, []
    try:
        yield _thread.notes
    finally:
        _thread.notes = before


def compile_kernel(function, **options):
    """Compile a function that Python calls."""
    return _njit(Kernel, function, **options)


def compile_helper(function, **options):
    """Compile a function that other compiled functions call."""
    return _njit(Helper, function, no_cpython_wrapper=True, **options)


def _njit(kind, function, **options):
    dispatcher = njit(pipeline_class=KernelCompiler, **options)(function)
    if isinstance(dispatcher, CPUDispatcher):  # NUMBA_DISABLE_JIT leaves functions as they are
        dispatcher.__class__ = kind
    return dispatcher
