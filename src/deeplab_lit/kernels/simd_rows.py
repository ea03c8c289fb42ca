"""SIMD operations on rows of labels, as LLVM vector instructions; docs/kernels.md explains them.

numba does not know that two arrays never overlap, and compiles short inner loops to scalar code. In these intrinsics a
row of L labels is one LLVM vector. L is 8 times the length of the tuple ``lanes``, so that it is a constant of the
compiled kernel. Rows are stored in half precision (as uint16) or in float32; sums are in float32.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from deeplab_lit.kernels.half_precision import computes_half

_FAST = ("fast",)  # rows hold neither NaN nor infinity
_AHEAD = 6  # how many pixels ahead lattice rows are prefetched
_ENTRIES_AHEAD = 16  # how many entries ahead rows are prefetched in a splat
_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)

_Array = tuple[Any, Any]  # the type and the value of an array


class _Row:
    """A builder of vector code for rows of ``lanes`` labels, at one place of the program."""

    def __init__(self, context: Any, builder: Any, lanes: Any) -> None:
        self.context, self.builder, self.labels = context, builder, 8 * len(lanes)
        self.wide, self.half = ir.VectorType(_FLOAT, self.labels), ir.VectorType(ir.HalfType(), self.labels)

    def _place(self, kind: Any, array: Any, row: Any, vector: Any) -> Any:
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        offset = self.builder.mul(self.long(row), ir.Constant(_LONG, self.labels))
        return self.builder.bitcast(self.builder.gep(data, [offset]), vector.as_pointer())

    def long(self, value: Any) -> Any:
        return self.builder.sext(value, _LONG) if value.type.width < 64 else value

    def load_half(self, kind: Any, array: Any, row: Any) -> Any:
        return self.builder.load(self._place(kind, array, row, self.half), align=2)

    def store_half(self, kind: Any, array: Any, row: Any, value: Any) -> None:
        self.builder.store(value, self._place(kind, array, row, self.half), align=2)

    def load(self, kind: Any, array: Any, row: Any) -> Any:
        if kind.dtype == numba.uint16:
            return self.builder.fpext(self.load_half(kind, array, row), self.wide)
        return self.builder.load(self._place(kind, array, row, self.wide), align=4)

    def store(self, kind: Any, array: Any, row: Any, value: Any) -> None:
        if kind.dtype == numba.uint16:
            self.store_half(kind, array, row, self.builder.fptrunc(value, self.half))
        else:
            self.builder.store(value, self._place(kind, array, row, self.wide), align=4)

    def element(self, kind: Any, array: Any, index: Any) -> Any:
        data = self.context.make_array(kind)(self.context, self.builder, array).data
        return self.builder.load(self.builder.gep(data, [index]))

    def fetch(self, kind: Any, array: Any, row: Any) -> None:
        """Prefetch a row into the cache."""
        place = self._place(kind, array, row, self.wide)
        place = self.builder.bitcast(place, ir.IntType(8).as_pointer())
        flags = [ir.Constant(_INT, each) for each in (0, 3, 1)]
        kind = ir.FunctionType(ir.VoidType(), [place.type, *(each.type for each in flags)])
        self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0"), [place, *flags]
        )

    def constant(self, value: float) -> Any:
        return ir.Constant(self.wide, [value] * self.labels)

    def repeat(self, value: Any) -> Any:
        nothing = ir.Constant(self.wide, ir.Undefined)
        one = self.builder.insert_element(nothing, value, ir.Constant(_INT, 0))
        return self.builder.shuffle_vector(
            one, nothing, ir.Constant(ir.VectorType(_INT, self.labels), [0] * self.labels)
        )

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b, flags=_FAST)

    def multiply(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=_FAST)

    def call(self, name: str, *arguments: Any, result: Any = None) -> Any:
        kind = ir.FunctionType(result or self.wide, [each.type for each in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments, fastmath=_FAST)

    def weighted_sum(self, first: Any, last: Any, source: _Array, rows: _Array, weights: _Array) -> Any:
        """The sum of weights[e] * source[rows[e]] for e from first to last; the rows of later e are prefetched."""
        builder = self.builder
        size = self.context.make_array(rows[0])(self.context, builder, rows[1]).nitems
        final = builder.sub(size, ir.Constant(_LONG, 1))
        total = cgutils.alloca_once(builder, self.wide)
        builder.store(self.constant(0.0), total)
        with cgutils.for_range_slice(builder, self.long(first), self.long(last), ir.Constant(_LONG, 1)) as (index, _):
            later = builder.add(index, ir.Constant(_LONG, _ENTRIES_AHEAD))
            later = builder.select(builder.icmp_signed("<", later, final), later, final)
            self.fetch(*source, self.element(*rows, later))
            row = self.load(*source, self.element(*rows, index))
            product = self.multiply(row, self.repeat(self.element(*weights, index)))
            builder.store(self.add(builder.load(total), product), total)
        return builder.load(total)

    def corner_sum(self, start: Any, pixel: Any, corners: int, source: _Array, rows: _Array, weights: _Array) -> Any:
        """start + the sum over the corners of a pixel, unrolled; the rows of a later pixel are prefetched."""
        builder = self.builder
        shape = self.context.make_array(rows[0])(self.context, builder, rows[1]).shape
        pixels = builder.extract_value(shape, 0)
        later = builder.add(self.long(pixel), ir.Constant(_LONG, _AHEAD))
        later = builder.select(builder.icmp_signed("<", later, pixels), later, self.long(pixel))
        here, there = (builder.mul(each, ir.Constant(_LONG, corners)) for each in (self.long(pixel), later))
        totals = [start, None]  # two sums, so that an addition does not wait for the one before
        for corner in range(corners):
            self.fetch(*source, self.element(*rows, builder.add(there, ir.Constant(_LONG, corner))))
            index = builder.add(here, ir.Constant(_LONG, corner))
            row = self.load(*source, self.element(*rows, index))
            product = self.multiply(row, self.repeat(self.element(*weights, index)))
            old = totals[corner % 2]
            totals[corner % 2] = product if old is None else self.add(old, product)
        return totals[0] if totals[1] is None else self.add(*totals)

    def softmax(self, score: Any) -> Any:
        """The softmax of a row. 2 ** x is a power of two, from its whole part, times a polynomial in the rest."""
        builder, name = self.builder, f"v{self.labels}f32"
        top = self.call(f"llvm.vector.reduce.fmax.{name}", score, result=_FLOAT)
        x = self.multiply(builder.fsub(score, self.repeat(top), flags=_FAST), self.constant(1.4426950408889634))
        x = self.call(f"llvm.maxnum.{name}", x, self.constant(-100.0))
        whole = self.call(f"llvm.floor.{name}", x)
        part, value = builder.fsub(x, whole, flags=_FAST), self.constant(0.0018775767)
        for coefficient in (0.0089893397, 0.055826318, 0.24015361, 0.69315308, 0.99999994):
            value = self.add(self.multiply(value, part), self.constant(coefficient))
        whole_numbers = ir.VectorType(_INT, self.labels)
        exponent = builder.add(builder.fptosi(whole, whole_numbers), ir.Constant(whole_numbers, [127] * self.labels))
        power = builder.bitcast(builder.shl(exponent, ir.Constant(whole_numbers, [23] * self.labels)), self.wide)
        e = self.multiply(value, power)
        total = self.call(f"llvm.vector.reduce.fadd.{name}", ir.Constant(_FLOAT, 0.0), e, result=_FLOAT)
        return self.multiply(e, self.repeat(builder.fdiv(ir.Constant(_FLOAT, 1.0), total)))


@intrinsic
def blur_row(typing_context, old, p, left, right, new, place, lanes):  # type: ignore[no-untyped-def]
    """new[place] = old[p] + (old[left] + old[right]) / 2."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        row, (source, here, before, behind, target, where, _) = _Row(context, builder, lanes), args
        if old.dtype == numba.uint16 and computes_half():
            # one rounding more than in single precision, and half the instructions
            kind = row.half
            own, left_one, right_one = (row.load_half(old, source, each) for each in (here, before, behind))
            around = builder.fadd(left_one, right_one, flags=_FAST)
            half = ir.Constant(kind, [0.5] * row.labels)
            value = builder.fadd(own, builder.fmul(around, half, flags=_FAST), flags=_FAST)
            row.store_half(new, target, where, value)
            return context.get_dummy_value()
        around = row.add(row.load(old, source, before), row.load(old, source, behind))
        row.store(new, target, where, row.add(row.load(old, source, here), row.multiply(around, row.constant(0.5))))
        return context.get_dummy_value()

    return numba.void(old, p, left, right, new, place, lanes), codegen


@intrinsic
def splat_row(typing_context, marginals, pixels, shares, start, stop, values, p, lanes):  # type: ignore[no-untyped-def]
    """values[p] = the sum of shares[e] * marginals[pixels[e]] for e from start to stop."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        row, (source, of_pixels, of_shares, first, last, target, here, _) = _Row(context, builder, lanes), args
        total = row.weighted_sum(first, last, (marginals, source), (pixels, of_pixels), (shares, of_shares))
        row.store(values, target, here, total)
        return context.get_dummy_value()

    return numba.void(marginals, pixels, shares, start, stop, values, p, lanes), codegen


@intrinsic
def update_row(  # type: ignore[no-untyped-def]
    typing_context, unary, n, vertices, weights, values, corners, more_vertices, more_weights, more_values,
    more_corners, target, place, lanes
):  # fmt: skip
    """target[place] = softmax(unary[n] + the slices of two filters); the length of ``corners`` is their number."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        row = _Row(context, builder, lanes)
        scores, pixel, *filters, into, where, _ = args
        score = row.load(unary, scores, pixel)
        kinds = ((vertices, weights, values, corners), (more_vertices, more_weights, more_values, more_corners))
        for (corner, weight, value, count), of in zip(kinds, (filters[:4], filters[4:]), strict=True):
            score = row.corner_sum(score, pixel, len(count), (value, of[2]), (corner, of[0]), (weight, of[1]))
        row.store(target, into, where, row.softmax(score))
        return context.get_dummy_value()

    first = (vertices, weights, values, corners)
    second = (more_vertices, more_weights, more_values, more_corners)
    return numba.void(unary, n, *first, *second, target, place, lanes), codegen


@intrinsic
def add_row(  # type: ignore[no-untyped-def]
    typing_context, scores, n, vertices, weights, values, corners, target, lanes
):  # fmt: skip
    """target[n] = scores[n] + the slice of a filter; the length of ``corners`` is their number."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        row, (source, pixel, *of, _, into, _) = _Row(context, builder, lanes), args
        parts = ((values, of[2]), (vertices, of[0]), (weights, of[1]))
        total = row.corner_sum(row.load(scores, source, pixel), pixel, len(corners), *parts)
        row.store(target, into, pixel, total)
        return context.get_dummy_value()

    return numba.void(scores, n, vertices, weights, values, corners, target, lanes), codegen


@intrinsic
def copy_row(typing_context, source, p, target, place, lanes):  # type: ignore[no-untyped-def]
    """target[place] = source[p], in the precision of each."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        row, (values, here, into, where, _) = _Row(context, builder, lanes), args
        row.store(target, into, where, row.load(source, values, here))
        return context.get_dummy_value()

    return numba.void(source, p, target, place, lanes), codegen
