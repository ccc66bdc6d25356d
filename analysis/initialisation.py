"""Initial parameters of any cell by named rules, with what a cell remembers by set through its gates' biases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import ArrayLike, NDArray
from sympy import Symbol

from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.errors import Error
from ..derive.interpret import size
from ..derive.linear import concat, product, shape_of, transpose
from ..derive.program import quantities
from ..derive.syntax import closest
from ..kernels.given import check_sizes
from ..kernels.initial import initial
from .data import random_stream
from .gating import forget_biases, input_biases

Array = NDArray[np.floating]


@dataclass(frozen=True)
class _Block:
    """The columns of a matrix that multiply one piece of a vector.

    Attributes:
        columns: of the matrix, or of its transpose where that is what multiplies.
        is_transposed: whether it is.
        recurrent: whether what they multiply depends on the states before.
    """

    columns: slice
    is_transposed: bool
    recurrent: bool


def initialise(
    derivation: Derivation,
    sizes: Mapping[str, int],
    rule: str = "gaussian",
    *,
    gain: float = 1.0,
    seed: int = 0,
    dtype: str = "float64",
    biases: Mapping[str, ArrayLike] | None = None,
    forget_bias: float | None = None,
    chrono: float | None = None,
) -> dict[str, Array]:
    """Draw the parameters of a cell.

    Rules, of which each is scaled by the gain; biases are 0, other vectors as `Kernel.init` draws them:

    - 'gaussian': matrices from N(0, gain²/columns), as `Kernel.init` draws them;
    - 'xavier': matrices uniform in ±gain √(6 / (rows + columns)) (Glorot, X., Bengio, Y. (2010). AISTATS, 249-256);
    - 'orthogonal': recurrent matrices with orthonormal rows or columns, Haar distributed (Saxe, A., McClelland, J.,
      Ganguli, S. (2014). arXiv:1312.6120; Mezzadri, F. (2007). Notices of the AMS 54, 592-604);
    - 'identity': recurrent matrices the identity (Le, Q., Jaitly, N., Hinton, G. (2015). arXiv:1504.00941).

    The last two draw other matrices as 'gaussian' does. A recurrent matrix multiplies what depends on the states
    before; of one that multiplies several pieces at once, as in W @ concat(h, x), the columns of each piece count as a
    matrix.

    Args:
        derivation: of the cell.
        sizes: dimension -> size.
        rule: one of the above.
        gain: scale of matrices; of the spectral radius for 'orthogonal' and 'identity'.
        seed: of the draws.
        dtype: "float32" or "float64".
        biases: any parameters by name -> their value: a number for all entries, or an array.
        forget_bias: value for the bias of each forget gate (Gers et al. 2000), with the sign by which a larger one
            keeps more of the state; `forget_biases` says which these are.
        chrono: T, the longest memory wanted, above 2: biases of forget gates are ln U(1, T − 1), with the sign as for
            `forget_bias`, and those of input gates the opposite (Tallec, C., Ollivier, Y. (2018). Can recurrent neural
            networks warp time? arXiv:1804.11188).

    Returns:
        Name -> array of the parameter's shape. The same call gives the same bits.

    Raises:
        Error: for an unknown rule or bias, a value of the wrong shape, both `forget_bias` and `chrono`, either for a
            cell that has no forget gate with a bias, and sizes that don't fit.

    >>> from ..derive import derive, load
    >>> params = initialise(derive(load("lstm")), {"m": 3, "n": 4}, "orthogonal", forget_bias=1)
    >>> params["b_f"].tolist(), (params["W_hf"] @ params["W_hf"].T).round(12).diagonal().tolist()
    ([1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    """
    if rule not in RULES:
        raise Error(f"no rule is called '{rule}'. {closest(rule, RULES)}")
    if not np.isfinite(gain):
        raise Error(f"gain is {gain}: give a finite number")
    numbers = check_sizes(derivation.cell, sizes)
    drawn = initial(derivation, numbers, np.dtype("float64"), seed, gain)
    for name, matrix in drawn.items():
        if matrix.ndim == 2:
            random = random_stream(seed, f"{rule} {name}")
            for block in _blocks(derivation, name, numbers):
                part = matrix.T if block.is_transposed else matrix
                made = RULES[rule](part[:, block.columns].shape, block, gain, random)
                if made is not None:
                    part[:, block.columns] = made
    drawn |= _gate_biases(derivation, drawn, forget_bias, chrono, seed)
    for name, value in (biases or {}).items():
        if name not in drawn:
            raise Error(f"no parameter is called '{name}'. {closest(name, drawn)}")
        try:
            drawn[name] = np.broadcast_to(np.asarray(value, float), drawn[name].shape).copy()
        except ValueError:
            found = f"{np.shape(value)}, and the parameter has {drawn[name].shape}"
            raise Error(f"the value for '{name}' has shape {found}: give a number or an array of that shape") from None
    return {name: array.astype(dtype) for name, array in drawn.items()}


def _gate_biases(
    derivation: Derivation, drawn: Mapping[str, Array], forget_bias: float | None, chrono: float | None, seed: int
) -> dict[str, Array]:
    """Return the biases of forget gates, and for chrono of input gates."""
    if forget_bias is None and chrono is None:
        return {}
    if forget_bias is not None and chrono is not None:
        raise Error("forget_bias and chrono both set the biases of forget gates: give one of them")
    signs = forget_biases(derivation)
    if not signs:
        wanted = "chrono" if forget_bias is None else "forget_bias"
        found = f"{derivation.cell.name} has no gate with a bias that multiplies a state's own previous value"
        raise Error(f"{found}, as {wanted} needs. Set biases by name instead: biases={{name: value}}.")
    if forget_bias is not None:
        if not np.isfinite(forget_bias):
            raise Error(f"forget_bias is {forget_bias}: give a finite number")
        return {name: np.full(drawn[name].shape, sign * float(forget_bias)) for name, sign in signs.items()}
    assert chrono is not None
    if not 2 < chrono < np.inf:
        raise Error(f"chrono is {chrono}: give the longest memory wanted in steps, above 2")
    found_biases = {
        name: sign * np.log(random_stream(seed, f"chrono {name}").uniform(1, chrono - 1, drawn[name].shape))
        for name, sign in signs.items()
    }
    for name, theirs in input_biases(derivation).items():
        opposite = -signs[theirs] * found_biases[theirs]
        found_biases[name] = np.broadcast_to(opposite, drawn[name].shape).copy()
    return found_biases


def _blocks(derivation: Derivation, name: str, sizes: Mapping[str, int]) -> list[_Block]:
    """Return the blocks of a matrix by what it multiplies, itself or in what is made of it once; else the whole."""
    shapes = derivation.forward.shapes
    made = {s.target for s in derivation.prologue.steps if Symbol(name) in s.reads}
    same = {Symbol(name), *(target for target in made if shapes[target] == shapes[Symbol(name)])}
    moving = set(map(previous, derivation.cell.states))
    for step in derivation.forward.steps:
        for node in step.expr.atoms(product):
            matrix, vector = node.args
            is_transposed = isinstance(matrix, transpose)
            if (matrix.args[0] if is_transposed else matrix) in same and len(shape_of(vector, shapes)) == 1:
                return _pieces(derivation, vector, is_transposed, moving, sizes)
        if step.reads & moving:
            moving.add(step.target)
    return [_Block(slice(None), False, False)]


def _pieces(
    derivation: Derivation, vector: sympy.Expr, is_transposed: bool, moving: set[Symbol], sizes: Mapping[str, int]
) -> list[_Block]:
    definitions = {step.target: step.expr for step in derivation.forward.steps}
    written = definitions.get(vector, vector)
    pieces = written.args if isinstance(written, concat) else (vector,)
    blocks, start = [], 0
    for piece in pieces:
        stop = start + size(shape_of(piece, derivation.forward.shapes)[0], sizes)
        recurrent = any(symbol in moving for symbol in quantities(piece))
        blocks.append(_Block(slice(start, stop), is_transposed, recurrent))
        start = stop
    return blocks


Draw = Callable[[tuple[int, ...], _Block, float, np.random.Generator], Array | None]


def _xavier(shape: tuple[int, ...], block: _Block, gain: float, random: np.random.Generator) -> Array:
    return gain * np.sqrt(6 / sum(shape)) * random.uniform(-1, 1, shape)


def _orthogonal(shape: tuple[int, ...], block: _Block, gain: float, random: np.random.Generator) -> Array | None:
    """Return orthonormal columns, or rows where these are fewer: Q of a Gaussian matrix, with R's signs put right."""
    if not block.recurrent:
        return None
    tall = random.standard_normal((max(shape), min(shape)))
    found, upper = np.linalg.qr(tall)
    found = gain * found * np.where(np.diag(upper) < 0, -1, 1)
    return found if shape[0] >= shape[1] else found.T


def _identity(shape: tuple[int, ...], block: _Block, gain: float, random: np.random.Generator) -> Array | None:
    return gain * np.eye(shape[0], shape[1]) if block.recurrent else None


RULES: Mapping[str, Draw] = {
    "gaussian": lambda shape, block, gain, random: None,
    "xavier": _xavier,
    "orthogonal": _orthogonal,
    "identity": _identity,
}
