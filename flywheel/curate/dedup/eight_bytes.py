"""Machine instructions that Python has no word for: eight bytes at once from anywhere, and where a number's lowest bit is."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic


@intrinsic
def _load(_context: Any, data: Any, _position: Any) -> Any:
    """The eight bytes of an array of bytes from a position on, as one number; nobody checks that they are there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        eight = ir.IntType(64).as_pointer()
        return builder.load(builder.bitcast(builder.gep(array.data, [arguments[1]]), eight), align=1)

    return types.uint64(data, types.int64), generate


@intrinsic
def _store(_context: Any, data: Any, _position: Any, _value: Any) -> Any:
    """Write a number as eight bytes of an array of bytes; nobody checks that there is room."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        eight = ir.IntType(64).as_pointer()
        builder.store(arguments[2], builder.bitcast(builder.gep(array.data, [arguments[1]]), eight), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), generate


@intrinsic
def _lowest_bit(_context: Any, _value: Any) -> Any:
    """The place of the lowest bit that is set; a number without one has none."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


# Their callers give what compiled code gives, without the first argument, which mypy cannot know.
load: Any = _load
store: Any = _store
lowest_bit: Any = _lowest_bit
