"""Machine instructions that Python has no word for: many bytes at once from anywhere, and where a number's lowest bit is.

Blocks of 64 bytes are vectors of LLVM, which turns them into what the machine has: one register of AVX-512, four of SSE2 or
NEON.
"""

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


_BLOCK = ir.VectorType(ir.IntType(8), 64)


def _all(byte: int) -> Any:
    return ir.Constant(_BLOCK, [ir.Constant(ir.IntType(8), byte)] * 64)


def _block_at(context: Any, builder: Any, kind: Any, array: Any, position: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [position]), _BLOCK.as_pointer())


def _in_range(builder: Any, block: Any, first: int, last: int) -> Any:
    return builder.icmp_unsigned("<=", builder.sub(block, _all(first)), _all(last - first))


@intrinsic
def _lower_block(_context: Any, data: Any, _position: Any, low: Any, flags: Any, _at: Any) -> Any:
    """Write 64 bytes in lower case, white space as blanks, and 0xFF for each byte of a word; False if they are not all ASCII.

    What was written then means nothing. Nobody checks that the bytes are there, nor that there is room.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, position, _, _, at = arguments
        read = builder.load(_block_at(context, builder, signature.args[0], source, position), align=1)
        lowered = builder.select(_in_range(builder, read, 0x41, 0x5A), builder.or_(read, _all(0x20)), read)
        space = builder.or_(_in_range(builder, read, 0x09, 0x0D), _in_range(builder, read, 0x1C, 0x1F))
        letter = builder.or_(_in_range(builder, lowered, 0x61, 0x7A), builder.icmp_unsigned("==", read, _all(0x5F)))
        word = builder.or_(letter, _in_range(builder, read, 0x30, 0x39))
        lowered = builder.select(space, _all(0x20), lowered)
        builder.store(lowered, _block_at(context, builder, signature.args[2], arguments[2], at), align=1)
        builder.store(builder.sext(word, _BLOCK), _block_at(context, builder, signature.args[3], arguments[3], at), align=1)
        other = builder.bitcast(builder.icmp_signed("<", read, _all(0)), ir.IntType(64))
        return builder.icmp_unsigned("==", other, ir.Constant(ir.IntType(64), 0))

    return types.boolean(data, types.int64, low, flags, types.int64), generate


@intrinsic
def _high_bits(_context: Any, data: Any, _position: Any) -> Any:
    """The highest bits of 64 bytes of an array, the first byte's lowest; nobody checks that they are there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        read = builder.load(_block_at(context, builder, signature.args[0], *arguments), align=1)
        return builder.bitcast(builder.icmp_signed("<", read, _all(0)), ir.IntType(64))

    return types.uint64(data, types.int64), generate


# Their callers give what compiled code gives, without the first argument, which mypy cannot know.
load: Any = _load
store: Any = _store
lowest_bit: Any = _lowest_bit
lower_block: Any = _lower_block
high_bits: Any = _high_bits
