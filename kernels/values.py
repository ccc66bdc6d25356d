"""`Value`: an LLVM vector of floats under construction, with Python's operators, so that formulas read as formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]  # it carries no types
from numba.core import cgutils

FEATURES = dict(binding.get_host_cpu_features())
IN_HALVES = binding.get_host_cpu_name() == "znver4"  # computes with a wide vector in two turns
FUSED = ("contract",)  # a product and a sum may become one operation with one rounding
Number = float | int


@dataclass(frozen=True)
class Value:
    """A vector in a function that is being built; numbers that meet it are spread over its lanes."""

    builder: Any
    value: Any

    @property
    def bits(self) -> int:
        """Of one lane: 32 or 64."""
        return 32 if isinstance(self.value.type.element, ir.FloatType) else 64

    def _with(self, other: Value | Number) -> Any:
        return other.value if isinstance(other, Value) else self.spread(other).value

    def _made(self, value: Any) -> Value:
        return Value(self.builder, value)

    def spread(self, number: Number) -> Value:
        """Return a vector with a constant in each lane, rounded to its dtype."""
        rounded = float(np.float32(number)) if self.bits == 32 else float(number)
        return self._made(ir.Constant(self.value.type, [rounded] * self.value.type.count))

    def __add__(self, other: Value | Number) -> Value:
        return self._made(self.builder.fadd(self.value, self._with(other), flags=FUSED))

    def __sub__(self, other: Value | Number) -> Value:
        return self._made(self.builder.fsub(self.value, self._with(other), flags=FUSED))

    def __mul__(self, other: Value | Number) -> Value:
        return self._made(self.builder.fmul(self.value, self._with(other), flags=FUSED))

    def __truediv__(self, other: Value | Number) -> Value:
        return self._made(self.builder.fdiv(self.value, self._with(other), flags=FUSED))

    def __radd__(self, other: Number) -> Value:
        return self.spread(other) + self

    def __rsub__(self, other: Number) -> Value:
        return self.spread(other) - self

    def __rmul__(self, other: Number) -> Value:
        return self.spread(other) * self

    def __rtruediv__(self, other: Number) -> Value:
        return self.spread(other) / self

    def __neg__(self) -> Value:
        return self._made(self.builder.fneg(self.value))

    def call(self, name: str, *others: Value) -> Value:
        """Return LLVM's own function of this name: fabs, sqrt, rint, copysign, fma."""
        kind = self.value.type
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(kind, [kind] * (1 + len(others))),
            f"llvm.{name}.v{kind.count}f{self.bits}",
        )
        return self._made(self.builder.call(function, [self.value, *(other.value for other in others)]))

    def over(self, part: Value, rest: Number) -> Value:
        """Return self / (part + rest), for a sum from 1 to 2¹⁰⁰.

        What a first quotient leaves over is found from the two parts, so that the rounding of their sum doesn't count.
        Where the processor estimates reciprocals, nothing is divided: the estimate has 14 digits, and Newton's
        iteration doubles them, as does what is left over.
        """
        whole = part + rest
        if self._is_wide():
            kind = {32: "ps", 64: "pd"}[self.bits]
            inverse = self._wide(f"rcp14.{kind}.512", whole, whole)
            if self.bits == 64:
                inverse = inverse + inverse * (1.0 - whole * inverse)
        else:
            inverse = 1.0 / whole
        found = self * inverse
        left = (self - found * rest) - found * part
        return found + left * inverse

    def nearly_over(self, part: Value, rest: Number) -> Value:
        """Return self / (part + rest) as `over` does, or with one rounding more where dividing is faster."""
        return self.over(part, rest) if self._is_wide() and not IN_HALVES else self / (part + rest)

    def scaled(self, n: Value) -> Value:
        """Return self · 2ⁿ for whole numbers n, rounded once where that is denormal."""
        if self._is_wide():
            kind = {32: "ps", 64: "pd"}[self.bits]
            return self._wide(f"mask.scalef.{kind}.512", self, n, self, rounding=4)
        half, first = (n * 0.5).rounded()
        _, second = (n - half).rounded()
        return self * first * second

    def _is_wide(self) -> bool:
        return bool(FEATURES.get("avx512f")) and self.bits * self.value.type.count == 512

    def _wide(self, name: str, *values: Value, rounding: int | None = None) -> Value:
        """Call an instruction of AVX-512 on all lanes."""
        lanes = ir.IntType(self.value.type.count)
        given = [*(value.value for value in values), lanes(-1)]
        given += [] if rounding is None else [ir.IntType(32)(rounding)]
        kind = ir.FunctionType(self.value.type, [one.type for one in given])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.x86.avx512.{name}")
        return self._made(self.builder.call(function, given))

    def exactly(self, other: Value, operation: str) -> Value:
        """Add or subtract with a rounding of its own, never joined with a product."""
        return self._made(getattr(self.builder, operation)(self.value, other.value))

    def if_less(self, other: Value | Number, then: Value | Number, otherwise: Value | Number) -> Value:
        """Return `then` in lanes where self < other, else `otherwise`; NaN is less than nothing."""
        where = self.builder.fcmp_ordered("<", self.value, self._with(other))
        return self._made(self.builder.select(where, self._with(then), self._with(otherwise)))

    def if_nan(self, then: Value | Number, otherwise: Value | Number) -> Value:
        """Return `then` in lanes that hold NaN, else `otherwise`."""
        where = self.builder.fcmp_unordered("uno", self.value, self.value)
        return self._made(self.builder.select(where, self._with(then), self._with(otherwise)))

    def at_most(self, bound: Number) -> Value:
        """Return the smaller of a value and a bound; NaN stays."""
        return self.spread(bound).if_less(self, bound, self)

    def at_least(self, bound: Number) -> Value:
        """Return the larger of a value and a bound; NaN stays."""
        return self.if_less(bound, bound, self)

    def rounded(self) -> tuple[Value, Value]:
        """Return n, the whole number next to each lane, and 2ⁿ, for n in the exponent's normal range."""
        bias, digits = (127, 23) if self.bits == 32 else (1023, 52)
        lift = 1.5 * 2**digits + bias  # a sum with it has unit 1 in the last place: its last bits are those of n + bias
        whole = self + lift
        bits = self.builder.bitcast(whole.value, ir.VectorType(ir.IntType(self.bits), self.value.type.count))
        power = self.builder.bitcast(self.builder.shl(bits, self._integers(digits)), self.value.type)
        return whole - lift, self._made(power)

    def split(self, low: float) -> tuple[Value, Value]:
        """Return (n, x / 2**n) with the quotient in [low, 2 low), for positive normal lanes."""
        shift = 23 if self.bits == 32 else 52
        start = int(np.float32(low).view(np.int32)) if self.bits == 32 else int(np.float64(low).view(np.int64))
        bits = self.builder.bitcast(self.value, ir.VectorType(ir.IntType(self.bits), self.value.type.count))
        above = self.builder.sub(bits, self._integers(start))
        n = self.builder.ashr(above, self._integers(shift))
        quotient = self.builder.sub(bits, self.builder.shl(n, self._integers(shift)))
        return (
            self._made(self.builder.sitofp(n, self.value.type)),
            self._made(self.builder.bitcast(quotient, self.value.type)),
        )

    def _integers(self, number: int) -> Any:
        kind = ir.VectorType(ir.IntType(self.bits), self.value.type.count)
        return ir.Constant(kind, [number] * kind.count)


def as_value(builder: Any, value: Any, machine: ir.VectorType) -> Value:
    """Return a vector, or a number spread over a vector's lanes."""
    if isinstance(value.type, ir.VectorType):
        return Value(builder, value)
    if isinstance(value.type, ir.IntType):
        value = builder.sitofp(value, machine.element)
    elif value.type != machine.element:
        wider = isinstance(machine.element, ir.DoubleType)
        value = (builder.fpext if wider else builder.fptrunc)(value, machine.element)
    empty = ir.Constant(machine, ir.Undefined)
    single = builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), machine.count), [0] * machine.count)
    return Value(builder, builder.shuffle_vector(single, empty, zeros))
