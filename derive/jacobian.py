"""Jacobian blocks ∂s_t/∂s_{t−1} in matrix form, by carrying matrix expressions forward through the program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import sympy
from sympy import Expr, MatrixExpr, MatrixSymbol, Symbol
from sympy.matrices.expressions import Identity, MatAdd, MatMul, Transpose, ZeroMatrix

from .errors import Error
from .linear import Node, Shape, one_hot, shape_of, tensor_arguments, transpose
from .program import Program, Step, quantities
from .slopes import Known, known_values, partials
from .written import canonical, multiplied, renamed


class Diagonal(MatrixExpr):
    """diag(v): the square matrix with the entries of an elementwise expression on its diagonal."""

    def __new__(cls, vector: Expr, size: Expr) -> Diagonal:
        return super().__new__(cls, vector, size)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.args[1], self.args[1]


class Column(MatrixExpr):
    """A vector as a matrix of one column."""

    def __new__(cls, vector: Expr, size: Expr) -> Column:
        return super().__new__(cls, vector, size)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.args[1], sympy.Integer(1)


class Rows(MatrixExpr):
    """The rows `start` to `stop` of the identity: it takes a piece out of a vector; transposed, it puts it back."""

    def __new__(cls, start: Expr, stop: Expr, size: Expr) -> Rows:
        return super().__new__(cls, start, stop, size)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        start, stop, size = self.args
        return stop - start, size


def jacobian(program: Program, value: Symbol, source: Symbol) -> MatrixExpr:
    """Return ∂value/∂source through one run of the program, as a sum of products of matrices.

    Elementwise slopes become `Diagonal`, weights `MatrixSymbol`; both are stated in the forward pass's values.

    Raises:
        Error: where value or source is a matrix, or depends on the other through one (its Jacobian has four indices).

    >>> from .cell import load
    >>> from .program import forward_program
    >>> jacobian(forward_program(load("rnn")), Symbol("h"), Symbol("h_prev"))
    Diagonal(1 - h**2, n)*W_hh
    """
    return jacobians(program, source)(value)


def jacobians(program: Program, source: Symbol) -> Callable[[Symbol], MatrixExpr]:
    """Return a function that gives ∂value/∂source for any value: one run through the program serves them all.

    Raises:
        Error: as `jacobian` does; about the value when the function is called.
    """
    return _Carrier(program, source, program.steps, known_values(program)).of


def edge(program: Program, step: Step, source: Symbol, known: Known) -> MatrixExpr:
    """Return the derivative of one step by a value that it reads, with everything else that it reads held fixed.

    Args:
        known: the program's `known_values`.

    Raises:
        Error: as `jacobian` does.
    """
    return _Carrier(program, source, (step,), known).of(step.target)


Word = tuple[Expr, ...]  # the factors of a matrix product; none for the identity


class _Carrier:
    """∂(each value)/∂source, as lists of words."""

    def __init__(self, program: Program, source: Symbol, steps: Iterable[Step], known: Known) -> None:
        self.shapes = program.shapes
        self.source = source
        self.columns = self._size(source)
        self.known = known
        self.words: dict[Symbol, list[Word]] = {source: [()]}
        for step in steps:
            words = self._merged(self._through(step.expr))
            if words:
                self.words[step.target] = words

    def of(self, value: Symbol) -> MatrixExpr:
        words = self.words.get(value, [])
        return total_of([_product(word, self.columns) for word in words], self._size(value), self.columns)

    def _size(self, symbol: Symbol) -> Expr:
        shape = self.shapes[symbol]
        if len(shape) > 1:
            raise Error(f"the Jacobian block of {symbol} has more than two indices: it is a matrix itself")
        return shape[0] if shape else sympy.Integer(1)

    def _through(self, expr: Expr) -> list[Word]:
        if isinstance(expr, Symbol):
            return self.words.get(expr, [])
        if not any(symbol in self.words for symbol in quantities(expr)):
            return []
        if isinstance(expr, Node):
            return self._through_node(expr)
        return self._through_elementwise(expr)

    def _through_elementwise(self, expr: Expr) -> list[Word]:
        whole = shape_of(expr, self.shapes)
        found: list[Word] = []
        for atom, slope in partials(expr, self.known):
            if words := self._through(atom):
                factor = self._slope(slope, whole, shape_of(atom, self.shapes))
                found += [_joined((factor,), word) for word in words]
        return found

    def _slope(self, slope: Expr, whole: Shape, part: Shape) -> MatrixExpr:
        if len(whole) > 1:
            raise Error("a value on the way is a matrix: its Jacobian has more than two indices")
        if not whole:
            return Diagonal(slope, sympy.Integer(1))
        return Diagonal(slope, whole[0]) if part else Column(slope, whole[0])

    def _through_node(self, node: Node) -> list[Word]:
        if any(len(shape_of(a, self.shapes)) > 1 for a in tensor_arguments(node) if self._through(a)):
            raise Error("a matrix on the way depends on the state: its Jacobian has more than two indices")
        rule = MATRICES.get(node.func.__name__)
        if rule is None:
            raise Error(f"{node.func.__name__} has no Jacobian in matrix form")
        return [_joined((matrix,), word) for matrix, argument in rule(node, self) for word in self._through(argument)]

    def _merged(self, words: list[Word]) -> list[Word]:
        """Add up the diagonal factors of words that are otherwise the same."""
        merged: dict[tuple[Expr, Word], list[Expr]] = {}
        for word in words:
            if word and not isinstance(word[0], Diagonal):
                merged.setdefault((sympy.Integer(0), word), []).append(sympy.Integer(1))
            else:
                slope, size = word[0].args if word else (sympy.Integer(1), self.columns)
                merged.setdefault((size, word[1:]), []).append(slope)
        found: list[Word] = []
        for (size, rest), slopes in merged.items():
            if size == 0:
                found.append(rest if len(slopes) == 1 else (sympy.Integer(len(slopes)), *rest))
            else:
                slope = slopes[0] if len(slopes) == 1 else sympy.Add(*slopes, evaluate=False)
                found.append(_joined((Diagonal(slope, size),), rest))
        return found


def total_of(words: Iterable[MatrixExpr], rows: Expr, columns: Expr) -> MatrixExpr:
    """Add up matrices of one shape in the given order."""
    words = list(words)
    if not words:
        return ZeroMatrix(rows, columns)
    return words[0] if len(words) == 1 else MatAdd(*words, evaluate=False)


def times(left: MatrixExpr, right: MatrixExpr) -> MatrixExpr:
    """Multiply, joining neighbouring diagonal matrices and dropping identities.

    >>> f, n = Symbol("f"), Symbol("n", integer=True, positive=True)
    >>> times(Diagonal(f, n), times(Identity(n), Diagonal(1 - f, n)))
    Diagonal(f*(1 - f), n)
    """
    first, second = ((*matrix.args,) if isinstance(matrix, MatMul) else (matrix,) for matrix in (left, right))
    return _product(_joined(first, second), right.shape[0])


def _joined(left: Word, right: Word) -> Word:
    if left and right and isinstance(left[-1], Diagonal) and isinstance(right[0], Diagonal):
        slope = multiplied(left[-1].args[0], right[0].args[0])
        left, right = (*left[:-1], Diagonal(slope, right[0].args[1])), right[1:]
    return tuple(matrix for matrix in (*left, *right) if not _is_identity(matrix))


def _is_identity(matrix: Expr) -> bool:
    return isinstance(matrix, Identity) or isinstance(matrix, Diagonal) and matrix.args[0] == 1


def _product(word: Word, size: Expr) -> MatrixExpr:
    if len(word) > 1:
        return MatMul(*word, evaluate=False)
    return word[0] if word else Identity(size)


def _matrix(expr: Expr, carrier: _Carrier) -> MatrixExpr:
    """Return a matrix-valued quantity, or the transpose of one, as a SymPy matrix expression."""
    if isinstance(expr, transpose):
        return Transpose(_matrix(expr.args[0], carrier))
    if not isinstance(expr, Symbol):
        raise Error(f"{expr} can't be written as one matrix")
    return MatrixSymbol(expr.name, *shape_of(expr, carrier.shapes))


def _of_concat(node: Node, carrier: _Carrier) -> list[tuple[MatrixExpr, Expr]]:
    start: Expr = sympy.Integer(0)
    size = shape_of(node, carrier.shapes)[0]
    pieces = []
    for piece in node.args:
        stop = start + shape_of(piece, carrier.shapes)[0]
        pieces.append((Transpose(Rows(start, stop, size)), piece))
        start = stop
    return pieces


def softmax_jacobian(value: Expr, size: Expr) -> MatrixExpr:
    """Return diag(y) − y yᵀ, the Jacobian of a softmax with the value y."""
    column = Column(value, size)
    return MatAdd(Diagonal(value, size), MatMul(-1, column, Transpose(column), evaluate=False))


def is_softmax_jacobian(matrix: MatrixExpr) -> bool:
    """Return whether this is what `softmax_jacobian` gives."""
    first = matrix.args[0]
    return isinstance(first, Diagonal) and matrix == softmax_jacobian(*first.args)


def _of_softmax(node: Node, carrier: _Carrier) -> list[tuple[MatrixExpr, Expr]]:
    value, size = carrier.known.get(canonical(node), node), shape_of(node, carrier.shapes)[0]
    return [(softmax_jacobian(value, size), node.args[0])]


def _ones(size: Expr) -> MatrixExpr:
    return Column(sympy.Integer(1), size)


def _of_total(node: Node, carrier: _Carrier) -> list[tuple[MatrixExpr, Expr]]:
    shape = shape_of(node.args[0], carrier.shapes)
    return [(Transpose(_ones(shape[0])) if shape else Identity(sympy.Integer(1)), node.args[0])]


def _of_entry(node: Node, carrier: _Carrier) -> list[tuple[MatrixExpr, Expr]]:
    vector, index = node.args
    return [(Rows(index, index + 1, shape_of(vector, carrier.shapes)[0]), vector)]


def _of_part(node: Node, carrier: _Carrier) -> list[tuple[MatrixExpr, Expr]]:
    vector, start, stop = node.args
    return [(Rows(start, stop, shape_of(vector, carrier.shapes)[0]), vector)]


def _of_lookup(node: Node, carrier: _Carrier) -> list[tuple[MatrixExpr, Expr]]:
    table, index = node.args
    size = shape_of(table, carrier.shapes)[0]
    return [(Transpose(Column(one_hot(index, size), size)), table)]


def _of_scatter(node: Node, carrier: _Carrier) -> list[tuple[MatrixExpr, Expr]]:
    number, index, size = node.args
    return [(Column(one_hot(index, size), size), number)]


def _of_cross_entropy(node: Node, carrier: _Carrier) -> list[tuple[MatrixExpr, Expr]]:
    size = shape_of(node.args[0], carrier.shapes)[0]
    slopes = [node.rule.transpose(sympy.Integer(1), node, index, carrier.shapes) for index in range(2)]
    return [
        (Transpose(Column(renamed(slope, carrier.known), size)), argument)
        for slope, argument in zip(slopes, node.args, strict=True)
    ]


# tensor map -> (its matrix, the argument it multiplies), for maps from vectors to vectors
MATRICES: Mapping[str, Callable[[Node, _Carrier], list[tuple[MatrixExpr, Expr]]]] = {
    "product": lambda node, carrier: [(_matrix(node.args[0], carrier), node.args[1])],
    "concat": _of_concat,
    "softmax": _of_softmax,
    "total": _of_total,
    "broadcast": lambda node, carrier: [(_ones(node.args[1]), node.args[0])],
    "part": _of_part,
    "entry": _of_entry,
    "lookup": _of_lookup,
    "scatter": _of_scatter,
    "cross_entropy": _of_cross_entropy,
}
