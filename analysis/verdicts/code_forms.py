"""What an argument may be: layouts of sequences, shapes of states, targets and parameters, likelier ones first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .code_adapter import SIZES, Path, Place, last_name, length
from .code_names import is_length, kind
from .code_usage import UNKNOWN, Use

Option = tuple[Place, ...]  # what one argument is: an array, two for a tuple of states, none where it is left out


@dataclass(frozen=True)
class Form:
    """A layout of sequences.

    Attributes:
        axes: of a sequence, "*" for its features; of indices without features.
        state: axes of an initial state.
        held: what the first axis is.
        says: in a sentence.
        tokens: whether inputs are indices.
    """

    axes: tuple[str, ...]
    state: tuple[str, ...]
    held: str
    says: str
    tokens: bool = False


TOKENS = "Inputs are indices, read as one-hot vectors."
FORMS = (
    Form(("T", "B", "*"), ("B", "*"), "", "Sequences are (T, B, features)."),
    Form(("B", "T", "*"), ("B", "*"), "", "Sequences are (B, T, features)."),
    Form(("T", "B", "*"), ("B", "*"), "list", "Sequences are lists over time of (B, features)."),
    Form(("T", "*", "1"), ("*", "1"), "list", "Sequences are lists over time of column vectors (features, 1)."),
    Form(("T", "*", "B"), ("*", "B"), "list", "Sequences are lists over time of (features, B)."),
    Form(("*", "B", "T"), ("*", "B"), "", "Sequences are (features, B, T)."),
    Form(("T", "*", "B"), ("*", "B"), "", "Sequences are (T, features, B)."),
    Form(("B", "*", "T"), ("B", "*"), "", "Sequences are (B, features, T)."),
    Form(("T", "*"), ("*",), "", "One sequence at a time, (T, features)."),
    Form(("T", "*", "1"), ("*", "1"), "", "One sequence at a time, (T, features, 1)."),
    Form(("T", "*"), ("*",), "list", "One sequence at a time, a list of vectors."),
    Form(("*", "T"), ("*", "1"), "", "One sequence at a time, (features, T)."),
    Form(("*", "T"), ("*",), "", "One sequence at a time, (features, T)."),
    Form(
        ("T", "*", "1"), ("*", "1"), "dict", "Sequences are dictionaries of column vectors (features, 1), keyed by t."
    ),
    Form(("T", "B", "*"), ("B", "*"), "dict", "Sequences are dictionaries of (B, features), keyed by t."),
    Form(("T",), ("*", "1"), "list", f"One sequence at a time. {TOKENS}", True),
    Form(("T",), ("*",), "list", f"One sequence at a time. {TOKENS}", True),
    Form(("T",), ("*",), "", f"One sequence at a time. {TOKENS}", True),
    Form(("T", "B"), ("B", "*"), "", f"Sequences are (T, B). {TOKENS}", True),
    Form(("B", "T"), ("B", "*"), "", f"Sequences are (B, T). {TOKENS}", True),
    Form(("B", "*"), ("B", "*"), "", "A single step, (B, features)."),
    Form(("*", "1"), ("*", "1"), "", "A single step, a column vector (features, 1)."),
    Form(("*", "B"), ("*", "B"), "", "A single step, (features, B)."),
    Form(("*",), ("*",), "", "A single step, a vector."),
)
SERIES = Form(("T",), ("*",), "", "One sequence of numbers, (T,).")
INNER = {  # what a weight multiplies; with 1 before or after [h; x] where the bias is a part of the weight
    "x": ("m", "n+m"),
    "h": ("n", "n+m"),
    "plain": ("m", "n+m", "n", "n+m+1"),
    "": ("m", "n", "n+m", "n+m+1"),
}
ABOVE = {"m": "n", "n+m": "2*n"}  # what stands there for a layer whose inputs are states
GATES = (1, 4, 3, 2, 5, 6, 8)
NUMBERS: tuple[tuple[str, ...], ...] = ((), ("1",), ("1", "1"))


def inputs(path: Path, form: Form) -> list[Option]:
    """Return what an input may be."""
    role = "index" if form.tokens else "input"
    return [(Place(path, _of(form.axes, "m"), role, form.held),)]


def states(path: Path, form: Form, optional: bool, widely: bool = True) -> list[Option]:
    """Return what an initial state may be: an array in one of several shapes, a tuple of two, nothing.

    Args:
        path: of the state.
        form: the layout.
        optional: whether it may be left out.
        widely: whether it may also be as long as the inputs, or a number.
    """
    shapes = dict.fromkeys([form.state, ("B", "*"), ("*", "1"), ("*",), ("1", "*"), ("*", "B"), ("1", "B", "*")])
    if not any("B" in axis for axis in form.axes):
        shapes = dict.fromkeys(axes for axes in shapes if "B" not in axes)
    found: list[Option] = [(Place(path, _of(axes, "n"), "state"),) for axes in shapes]
    axes = _of(form.state, "n")
    found.append((Place((*path, 0), axes, "state"), Place((*path, 1), axes, "state")))
    found.append((Place(path, ("2", *axes), "state"),))
    if widely:
        found.append((Place(path, _of(form.state, "m"), "state"),))
        found.append((Place(path, tuple(axis for axis in form.state if axis == "B"), "state"),))
    return [*found, *([()] * optional)]


def targets(path: Path, form: Form) -> list[Option]:
    """Return what targets may be: indices, rows with a single 1, numbers; at every step or for the last."""
    lead = tuple(axis for axis in form.axes if axis in "TB")
    rows = form.axes if "*" in form.axes else (*form.axes, "*")
    found = [Place(path, lead, "target", "list" if "B" not in lead else ""), Place(path, lead, "target")]
    found += [Place(path, _of(rows, "k"), "onehot", form.held), Place(path, _of(rows, "n"), "onehot", form.held)]
    rest = tuple(axis for axis in rows if axis != "T")
    found += [Place(path, _of(rest, "k"), "onehot"), Place(path, tuple(a for a in lead if a != "T"), "target")]
    if form.tokens:
        found.append(Place(path, ("T", "k", "1"), "onehot", "list"))
    return [(place,) for place in found]


def masks(path: Path, form: Form) -> list[Option]:
    """Return what a mask may be: of steps and samples, with an axis more, or of every entry; numbers or truth values.

    >>> [option[0].axes for option in masks(("mask",), FORMS[1])[::2]]
    [('B', 'T'), ('T', 'B'), ('B', 'T', '1'), ('T', 'B', '1'), ('B', 'T', 'n')]
    """
    lead = tuple(axis for axis in form.axes if axis in "TB")
    shapes = (lead, lead[::-1], (*lead, "1"), (*lead[::-1], "1"), _of(form.axes, "n"))
    return [(Place(path, axes, "mask", held),) for axes in dict.fromkeys(shapes) for held in ("", "bool")]


def sizes(path: Path) -> list[Option]:
    """Return what a number may be.

    >>> sizes(("steps",))[0][0].axes, sizes(("hidden_size",))[0][0].axes
    (('T',), ('n',))
    """
    axes = "TnmkB" if is_length(str(path[-1])) else "nmkTB"
    return [(Place(path, (axis,), "size"),) for axis in axes]


def params(path: Path, form: Form, label: str = "", use: Use = UNKNOWN) -> list[Option]:
    """Return what a parameter may be: row or column, several gates in one array, [h; x] or separate, diagonal.

    >>> [option[0].axes for option in params(("Wx",), FORMS[0])[:3]]
    [('m', 'n'), ('m', '4*n'), ('m', '3*n')]
    >>> [option[0].axes for option in params(("lam",), FORMS[0], use=Use())[:3]]
    [('n',), ('1', 'n'), ('n', '1')]
    """
    column = form.state[-1] in ("1", "B") or form.axes[0] == "*"
    name = last_name(path, label)
    suggested = kind(name)
    if use.is_flat and (use.sides or name[:1].islower()):  # capitals are for matrices, which may be added to others
        kinds = ("readout bias", "bias") if suggested.startswith("readout") else ("bias", "readout bias")
        shapes = [*(axes for each in kinds for axes in _shapes(each, column)), *NUMBERS]
    elif use.hidden or len(use.sides) > 1:
        shapes = [*_shapes(suggested, column), *_shapes("", column)]
    else:
        turn = use.sides == {"right"}
        suggested = "x" if use.reads else "h" if suggested in ("x", "plain") else suggested
        matrices = [*_matrices(suggested, turn), *_matrices("", turn)]
        vectors = [("m",), ("n",)] if name[:1].islower() and not isinstance(path[-1], int) else []  # not in lists
        rest = [("m",), *(axes for axes in _shapes("", column) if len(axes) != 2)]
        shapes = [*matrices[:1], *vectors, *matrices[1:], *rest]
    if layer(Place(path, (), "param", "", label).name):  # on top of others, it reads states
        shapes = [*(tuple(ABOVE.get(axis, axis) for axis in axes) for axes in shapes), *shapes]
    return [(Place(path, axes, "param", "", label),) for axes in dict.fromkeys(shapes)]


def layer(name: str) -> int:
    """Return the layer of a parameter in a list, 0 for one that isn't in any.

    >>> layer("layers[1].W"), layer("Wx")
    (1, 0)
    """
    found = re.search(r"\[(\d+)\]", name)
    return int(found[1]) if found else 0


def _matrices(kind: str, turn: bool) -> Iterator[tuple[str, ...]]:
    """Yield shapes of a weight that stands on the left of what it multiplies; turned, on its right."""
    for inner in ("n", "2*n", "n+m") if kind == "readout" else ():  # of both directions, or with the input beside
        yield (inner, "k") if turn else ("k", inner)
    for inner in INNER.get(kind, ()):
        for count in GATES:
            rows = "n" if count == 1 else f"{count}*n"
            yield (inner, rows) if turn else (rows, inner)
    if kind == "":
        for inner in ("n", "m"):
            yield (inner, "k") if turn else ("k", inner)


def _shapes(kind: str, column: bool) -> Iterator[tuple[str, ...]]:
    turns = (False, True) if column else (True, False)
    for turn in turns:
        yield from _matrices(kind, turn)
    if kind in ("readout", "readout bias", ""):
        yield from ([("k", "1"), ("k",), ("1", "k")] if column else [("k",), ("1", "k"), ("k", "1")])
    if kind in ("bias", ""):
        for count in GATES:
            rows = "n" if count == 1 else f"{count}*n"
            yield from ([(rows, "1"), (rows,), ("1", rows)] if column else [(rows,), ("1", rows), (rows, "1")])
    if kind == "":
        for gates in ("2", "3", "4"):
            for inner in ("m", "n", "n+m"):
                yield from ((gates, "n", inner), (gates, inner, "n"))
            yield from ((gates, "n"), (gates, "n", "1"), (gates, "1", "n"))
        yield from NUMBERS


def is_alike(place: Place, turn: bool, gates: int, stacked: bool, bias: int) -> bool:
    """Return whether a parameter has these rows, for a matrix turned or not, or this way of writing a bias."""
    rows, inner = ("n" if gates == 1 else f"{gates}*n"), ("n+m",) if stacked else ("m", "n")
    if place.role != "param" or len(place.axes) not in (1, 2):
        return False
    if "1" in place.axes or len(place.axes) == 1:
        return place.axes == ((rows,), ("1", rows), (rows, "1"))[bias]
    one, other = place.axes if turn else place.axes[::-1]
    return other == rows and one in inner


def told(shape: tuple[int, ...], held: Mapping[str, int]) -> tuple[str, ...]:
    """Return the axes of an array that was returned, from their lengths; a number where no size fits.

    >>> told((6, 3, 5), {"T": 6, "B": 3, "n": 5, "m": 4, "k": 8}), told((7, 5), {"T": 6, "n": 5})
    (('T', 'B', 'n'), ('T+1', 'n'))
    """
    known = {1: "1"}
    for axis in ("n", "k", "T", "B", "T+1", "m", *(name for name in held if name not in SIZES)):
        if axis.removesuffix("+1") in held:
            known.setdefault(length(axis, held), axis)
    return tuple(known.get(size, str(size)) for size in shape)


def _of(axes: tuple[str, ...], feature: str) -> tuple[str, ...]:
    return tuple(feature if axis == "*" else axis for axis in axes)
