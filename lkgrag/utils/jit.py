"""Compiling of inner loops by numba, which is a dependency.

Where numba is not available, NumPy does the frequent loops. The searches for shortest and for longer paths then run as plain
Python: they give the same paths, but slowly.

numba keeps compiled functions in files, and compiles one anew when its own module has changed. A change of
a function that it calls in another module does not count, so remove ``__pycache__`` then.
"""

from __future__ import annotations

from typing import Any

try:
    from numba import njit as _njit
except ImportError:  # pragma: no cover - a dependency; see above
    JIT = False
    compiled: Any = lambda **options: lambda function: function  # noqa: E731

    def _prefetch(array: Any, place: Any) -> None:
        pass

else:
    from llvmlite import ir as _ir
    from numba.core import cgutils as _cgutils
    from numba.core import types as _types
    from numba.extending import intrinsic as _intrinsic
    from numba.np.arrayobj import make_array as _make_array

    JIT = True
    compiled = _njit

    @_intrinsic
    def _prefetch(context: Any, array: Any, place: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = _make_array(signature.args[0])(context, builder, args[0])
            byte, word = _ir.IntType(8).as_pointer(), _ir.IntType(32)
            kind = _ir.FunctionType(_ir.VoidType(), [byte, word, word, word])
            function = _cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            pointer = builder.bitcast(builder.gep(values.data, [args[1]]), byte)
            # To read data, into all levels of the cache.
            builder.call(function, [pointer, *(word(n) for n in (0, 3, 1))])
            return context.get_dummy_value()

        return _types.none(array, _types.intp), generate


@compiled(nogil=True)
def prefetch(array, place):  # type: ignore[no-untyped-def]
    """Let the processor fetch an element of a one-dimensional array before it is needed; changes nothing."""
    _prefetch(array, place)
