"""The way to call both of somebody's passes: where the likeliest makes no sense of the second, another that does."""

from __future__ import annotations

import ast
import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ...derive.errors import Error
from .code_adapter import Adapter, Calling, shape
from .code_backward import Found, Raised, infer_backward, left_behind, misshapen
from .code_forms import FORMS, SERIES, Form, told
from .code_forward import FIRST, forwards
from .code_names import kind
from .code_reference import draw_seeds
from .code_returned import accepted, values_for
from .code_subject import Hung, Subject
from .code_traced import held, traced


def called(
    subject: Subject, adapter: Adapter, tell: Callable[[str], None], seed: int
) -> tuple[Calling, Form, Raised | None]:
    """Return how both passes are called, and what the second raises, if it does.

    A forward pass for vectors may run on columns, or on several samples, as well. So where the second pass raises, or
    leaves no gradient of a parameter's shape, vectors are tried, and where it raises, other layouts; what is found is
    taken unless what the code does is odd with vectors.

    Raises:
        Error: where no way was found.
    """
    tell("the forward pass")
    made = subject.factory is not None
    ways = forwards(subject, adapter)
    calling, form = next(ways)
    tell("the backward pass")
    likeliest = _with_backward(subject, calling, seed)
    if not made and not (isinstance(likeliest, Calling) and _is_whole(subject, likeliest, seed)):
        for other in (*_of_vectors(calling, form), *_of_one_output(calling)):
            single = accepted(subject, other, values_for(other, seed))
            found = _with_backward(subject, single, seed) if isinstance(single, Calling) else None
            if isinstance(found, Calling) and _is_whole(subject, found, seed) and not is_odd(subject, found, seed):
                return found, _form_of(found), None
        for other, layout in () if isinstance(likeliest, Calling) else ways:
            found = _with_backward(subject, other, seed)
            if isinstance(found, Calling) and _is_whole(subject, found, seed) and not is_odd(subject, found, seed):
                return found, layout, None
    if isinstance(likeliest, Error):
        raise likeliest
    return (likeliest, form, None) if isinstance(likeliest, Calling) else (likeliest.calling, form, likeliest)


def _of_vectors(calling: Calling, form: Form) -> Iterator[Calling]:
    """Yield the same way to call the forward pass with one sample: as columns, or as vectors."""
    if "T" not in form.axes or not {"B", "1"} & set(form.axes):
        return
    if "B" in form.axes[-1:]:
        columns = [replace(p, axes=tuple("1" if axis == "B" else axis for axis in p.axes)) for p in calling.given]
        yield replace(calling, given=tuple(columns), returned=())
    for gone in ({"B"}, {"B", "1"}):
        given = [replace(p, axes=tuple(axis for axis in p.axes if axis not in gone)) for p in calling.given]
        front = [replace(p, axes=("T", *(a for a in p.axes if a != "T"))) if p.role == "input" else p for p in given]
        yield replace(calling, given=tuple(front), returned=())
    yield from _of_numbers(replace(calling, given=tuple(front), returned=()))


def _of_numbers(calling: Calling) -> Iterator[Calling]:
    """Yield the same with gates that are numbers: weights of small letters are vectors, and some states numbers."""
    small = [p for p in calling.given if p.role == "param" and len(p.axes) == 2 and p.name[0].islower()]
    states = [p for p in calling.given if p.role == "state"]
    for count in range(len(states)) if small else ():
        for numbers in itertools.combinations(states, count):
            axes = {p.name: p.axes[1:] for p in small} | {p.name: () for p in numbers}
            yield replace(calling, given=tuple(replace(p, axes=axes.get(p.name, p.axes)) for p in calling.given))


def _of_one_output(calling: Calling) -> Iterator[Calling]:
    """Yield the same with a single output that is a number, of a readout that is a vector."""
    given = tuple(replace(p, axes=tuple(axis for axis in p.axes if axis != "k")) for p in calling.given)
    if given != calling.given:
        yield replace(calling, given=given, returned=())


def _form_of(calling: Calling) -> Form:
    """Return the layout of a convention for single samples."""
    read = next(place for place in calling.given if place.role == "input")
    axes = tuple(axis if axis in ("T", "1") else "*" for axis in read.axes)
    known = [form for form in (*FORMS, SERIES) if form.axes == axes and not form.tokens]
    return next(form for form in known if form.held in (read.held, ""))


def _with_backward(subject: Subject, calling: Calling, seed: int) -> Calling | Raised | Error:
    try:
        return infer_backward(subject, calling, values_for(calling, seed))
    except (Raised, Error) as error:
        return error


def _left(subject: Subject, calling: Calling, seed: int) -> Found:
    values = values_for(calling, seed)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return left_behind(subject, calling, values, draw_seeds(subject, calling, values, seed))


def runs(subject: Subject, calling: Calling, seed: int) -> bool:
    """Return whether the backward pass doesn't raise where it is called in this way."""
    try:
        _left(subject, calling, seed)
    except Hung:
        raise
    except Exception:
        return False
    return True


def _is_whole(subject: Subject, calling: Calling, seed: int) -> bool:
    """Return whether there is an array of every parameter's shape in what the backward pass leaves."""
    left = Counter(tuple(d for d in array.shape if d > 1) for array in _left(subject, calling, seed).values())
    params = (shape(place, calling.sizes) for place in calling.given if place.role == "param")
    return not Counter(tuple(d for d in dims if d > 1) for dims in params) - left


def reshaped(subject: Subject, calling: Calling, seed: int) -> Iterator[Calling]:
    """Yield the same with parameters in the shapes of what has their gradients' names, where it runs with these.

    A learned number that acts entry by entry may as well be a vector; its gradient says which. A bias is never taken
    for a number, since a sum over all axes is what people get wrong. What is called c beside h0 may be a bias too.
    """
    for other in (*_of_gradients(subject, calling, seed), *_of_biases(calling)):
        if isinstance(accepted(subject, replace(other, returned=()), values_for(other, seed)), Calling):
            yield other


def _of_biases(calling: Calling) -> Iterator[Calling]:
    """Yield the same with a second state, whose name doesn't say that it is the first value, as a vector for all."""
    states = [place for place in calling.given if place.role == "state" and "B" in place.axes]
    for state in states if len(states) > 1 else ():
        if not FIRST.fullmatch(state.name):
            bias = replace(state, role="param", axes=tuple(axis for axis in state.axes if axis != "B"))
            yield replace(calling, given=tuple(bias if p is state else p for p in calling.given), gradients=())


def _of_gradients(subject: Subject, calling: Calling, seed: int) -> Iterator[Calling]:
    """Yield the same with parameters in the shapes of what has their gradients' names."""
    odd = misshapen(subject, calling, _left(subject, calling, seed))
    wanted = {n: told(dims, calling.sizes) for n, dims in odd.items() if kind(n) not in ("bias", "readout bias")}
    given = tuple(replace(p, axes=wanted[p.name]) if p.name in wanted else p for p in calling.given)
    if not wanted or any(axis.isdigit() and axis != "1" for axes in wanted.values() for axis in axes):
        return
    yield replace(calling, given=given, gradients=())


def is_odd(subject: Subject, calling: Calling, seed: int) -> bool:
    """Return whether a backward pass does to vectors what people do to rows of samples: transposes, sums over them."""
    values = values_for(calling, seed)
    ran = traced(subject, lambda: subject.run(calling, values), lambda: _left(subject, calling, seed))
    for at in ran:
        for node in ast.walk(at.tree):
            match node:
                case ast.Attribute(value=of, attr="T") | ast.Call(func=ast.Attribute(value=of, attr="sum")):
                    pass
                case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr="sum"), args=[of, *_]):
                    pass
                case _:
                    continue
            if np.ndim(held(at.scope, ast.unparse(of))) == 1:
                return True
    return False
