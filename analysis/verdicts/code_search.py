"""A search for shapes that learns from errors: arrays that remember whom they come from, and dynamic backtracking.

An operation that fails names the arguments that its operands were made of. Whatever the others are, these can't stay as
they are together; so a wrong shape is left after one run of theirs (Ginsberg, M. L. (1993). Dynamic backtracking.
Journal of Artificial Intelligence Research 1, 25-46). Numbers that come from a shape know whose it is as well, and so
do arrays that are made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy as np

from .code_adapter import Array

Option = TypeVar("Option")
Names = frozenset[str]
NOBODY: Names = frozenset()
PRODUCTS = (np.dot, np.einsum, np.tensordot, np.inner, np.outer)
ARITHMETIC = (np.add, np.subtract, np.multiply, np.divide, np.power)


class Seen:
    """What was seen of the arguments in a run.

    Attributes:
        used: stood in an operation.
        asked: were asked for their shape.
        counted: were asked in a way whose answer, a plain number, doesn't know them.
        multiplied: are sides of matrix products.
    """

    used: set[str] = set()
    asked: set[str] = set()
    counted: set[str] = set()
    multiplied: set[str] = set()

    @classmethod
    def clear(cls, widely: bool = False) -> None:
        """Forget all; take what is asked as counted, to blame `widely`: no size of a shape is then relied on."""
        cls.used, cls.asked, cls.multiplied = set(), set(), set()
        cls.counted = cls.asked if widely else set()

    @classmethod
    def count(cls, tags: Names) -> None:
        """Note arguments that were asked for a number that doesn't know them."""
        cls.asked |= tags
        cls.counted |= tags


class Conflict(Exception):
    """An operation fails on what comes from these arguments."""

    def __init__(self, names: Iterable[str], says: str) -> None:
        super().__init__(says)
        self.names = frozenset(names)


class Told(int):
    """A number that knows from which arguments it comes."""

    tags: Names

    @classmethod
    def of(cls, number: int, tags: Names) -> Self:
        """Return a number with its tags."""
        told = cls(number)
        told.tags = tags
        return told


class Size(Told):
    """A number that knows from whose shape it comes, through arithmetic as well."""

    @classmethod
    def keeps_through(cls, name: str) -> None:
        """Let an operation of integers keep the tags of both sides."""

        def operation(self: Size, other: Any) -> Any:
            result = getattr(int, name)(self, other)
            return cls.of(result, self.tags | getattr(other, "tags", NOBODY)) if isinstance(result, int) else result

        setattr(cls, name, operation)


for _name in ("add", "sub", "mul", "floordiv", "mod"):
    Size.keeps_through(f"__{_name}__")
    Size.keeps_through(f"__r{_name}__")


class Label(Told):
    """The number of a class, which picks an entry: beside a whole vector of numbers it isn't one of them."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [int(i) if isinstance(i, Label) else i for i in inputs]
        if ufunc in ARITHMETIC and any(np.size(i) > 1 and np.asarray(i).dtype.kind in "fc" for i in plain):
            raise Conflict(self.tags, f"{ufunc.__name__}: the number of a class beside a vector")
        return getattr(ufunc, method)(*plain, **options)


class Tagged(np.ndarray):
    """An array that knows from which arguments its values, or its sizes where it is `made`, come."""

    tags: Names
    made: bool

    def __array_finalize__(self, obj: Any) -> None:
        self.tags = getattr(obj, "tags", NOBODY)
        self.made = False

    @property  # type: ignore[misc]  # never set: these arrays live for one run
    def shape(self) -> tuple[int, ...]:
        """The shape; noted, since sizes of theirs may come from it."""
        Seen.asked |= self.tags
        return tuple(Size.of(size, self.tags) for size in np.ndarray.shape.__get__(self))

    @property
    def size(self) -> int:
        """The number of entries; noted like the shape."""
        Seen.asked |= self.tags
        return Size.of(bare(self).size, self.tags)

    def __len__(self) -> int:
        Seen.count(self.tags)
        return super().__len__()

    def __iter__(self) -> Any:
        Seen.count(self.tags)
        return map(self._labelled, super().__iter__())

    def tolist(self) -> Any:
        """Return the entries in lists; numbers of classes know whose they are."""
        return [row.tolist() if isinstance(row, Tagged) else row for row in self] if self.ndim else super().tolist()

    def _labelled(self, entry: Any) -> Any:
        return Label.of(int(entry), self.tags) if isinstance(entry, np.integer) and not self.made else entry

    def reshape(self, *shape: Any, **options: Any) -> Any:
        """Return the entries in another shape, whose sizes may come from others."""
        return self._sized(super().reshape(*shape, **options), shape)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        tags, plain = _tags(inputs)
        if ufunc.signature is not None:
            _multiply(inputs)
        outs = () if out is None else out
        if outs:
            options["out"] = tuple(bare(o) for o in outs)
        try:
            result = getattr(ufunc, method)(*(bare(i) for i in inputs), **options)
        except Exception as error:
            raise conflict(tags | _tags(outs)[0], plain, error) from error
        if outs:
            for o in outs:
                if isinstance(o, Tagged):
                    o.tags |= tags
            return outs[0] if len(outs) == 1 else outs
        return _tagged(result, _shaping(result, inputs) or tags if ufunc.signature is None else tags)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        tags, plain = _tags((args, kwargs))
        if function in PRODUCTS:
            _multiply(args)
        try:
            result = function(*_bare(args), **_bare(kwargs))
        except Exception as error:
            raise conflict(tags, plain, error) from error
        if not isinstance(result, np.ndarray | list | tuple) or function in (np.shape,):
            Seen.count(tags)
        return _tagged(result, tags)

    def _sized(self, result: Any, sizes: Any) -> Any:
        if isinstance(result, Tagged):
            result.tags = self.tags | _sizes(sizes)
        return result

    def dot(self, other: Any, out: Any = None) -> Any:
        """Return the product, as `np.dot` does."""
        return np.dot(self, other)

    def __getitem__(self, index: Any) -> Any:
        _check_whole(index)
        return self._labelled(self._sized(super().__getitem__(index), index))

    def __setitem__(self, index: Any, value: Any) -> None:
        _check_whole(index)
        tags, plain = _tags((value,))
        try:
            super().__setitem__(index, bare(value))
        except (ValueError, TypeError) as error:
            raise conflict(tags | self.tags, plain, error) from error


def _check_whole(index: Any) -> None:
    """Raise where floating-point numbers are taken for an index: only what these are can be wrong."""
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, Tagged) and part.dtype.kind == "f":
            raise Conflict(part.tags, "IndexError: arrays used as indices must be of integer type")


def _sizes(tree: Any) -> Names:
    """Return from whose shapes numbers come, in a tree of tuples, lists and slices."""
    if isinstance(tree, Size):
        return tree.tags
    if isinstance(tree, slice):
        tree = (tree.start, tree.stop, tree.step)
    return frozenset().union(*map(_sizes, tree)) if isinstance(tree, tuple | list) else NOBODY


def tagged(array: Array, name: str) -> Array:
    """Return an array that knows its name.

    >>> Seen.clear()
    >>> W, x = tagged(np.ones((3, 2)), "W"), tagged(np.ones(3), "x")
    >>> try:
    ...     np.tanh(W @ x)
    ... except Conflict as conflict:
    ...     sorted(conflict.names)
    ['W', 'x']
    """
    whole = np.array(array).view(Tagged)
    whole.tags = frozenset({name})
    return whole


def watched(make: Callable[..., Array]) -> Callable[..., Array]:
    """Return a function that makes fresh arrays, now such that note what is done with them."""

    def made(*args: Any, **options: Any) -> Array:
        whole = bare(make(*_bare(args), **_bare(options))).view(Tagged)
        whole.tags, _ = _tags((args, options))
        whole.made = True
        return whole

    return made


def gathered(make: Callable[..., Array]) -> Callable[..., Array]:
    """Return a function that makes an array of others, which remembers whose these are."""

    def made(*args: Any, **options: Any) -> Array:
        tags, _ = _tags((args, options))
        return _tagged(make(*_bare(args), **_bare(options)), tags) if tags else make(*args, **options)

    return made


def bare(array: Any) -> Any:
    """Return an array without its tags."""
    return array.view(np.ndarray) if isinstance(array, Tagged) else array


def _bare(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _bare(value) for key, value in tree.items()}
    return type(tree)(map(_bare, tree)) if type(tree) in (list, tuple) else bare(tree)


def _tagged(tree: Any, tags: Names) -> Any:
    if isinstance(tree, np.ndarray):
        whole = tree.view(Tagged)
        whole.tags = tags
        return whole
    return type(tree)(_tagged(value, tags) for value in tree) if type(tree) in (list, tuple) else tree


def _tags(tree: Any) -> tuple[Names, bool]:
    """Return whose values stand in a tree, and whether arrays without a name stand beside them."""
    if isinstance(tree, Tagged):
        Seen.used |= tree.tags
        return tree.tags, not tree.tags and bare(tree).size > 1
    if isinstance(tree, Size):
        return tree.tags, False
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, list | tuple):
        found = [_tags(part) for part in tree]
        return frozenset().union(*(tags for tags, _ in found)), any(plain for _, plain in found)
    return NOBODY, isinstance(tree, np.ndarray) and tree.size > 1


def _multiply(sides: tuple[Any, ...]) -> None:
    """Note the sides of a matrix product that come from a single argument."""
    for side in sides:
        if isinstance(side, Tagged) and len(side.tags) == 1 and not side.made:
            Seen.multiplied |= side.tags


def _shaping(result: Any, inputs: tuple[Any, ...]) -> Names:
    """Return whose shape an elementwise result has: what goes wrong with it can't be mended by the other operands."""
    same = [i.tags for i in inputs if isinstance(i, Tagged) and bare(i).shape == np.shape(result)]
    return min(same, key=lambda tags: (len(tags), sorted(tags)), default=NOBODY)


def conflict(tags: Names, plain: bool, error: Exception) -> Exception:
    """Return an error that names these arguments, and all that were used where arrays without a name stood beside."""
    if isinstance(error, Conflict):
        return error
    others = Seen.asked | Seen.used if plain else Seen.counted
    return Conflict(tags | others, f"{type(error).__name__}: {error}")


def search(
    domains: Mapping[str, Sequence[Option]], attempt: Callable[[dict[str, Option]], Iterable[str] | None], most: int
) -> dict[str, Option] | None:
    """Return a choice for each name with which an attempt succeeds, None where there is none within `most` attempts.

    Args:
        domains: name -> options, likelier ones first; of names that don't go together the last changes first.
        attempt: returns None for success, else the names whose options can't stand together as they are.
        most: attempts.

    >>> search({"a": [1, 2, 3], "b": [5, 4, 3]}, lambda at: ("a", "b") if at["a"] + at["b"] != 7 else None, 99)
    {'a': 2, 'b': 5}
    """
    order = {name: place for place, name in enumerate(domains)}
    chosen = dict.fromkeys(domains, 0)
    gone: dict[str, dict[int, Names]] = {name: {} for name in domains}
    for _ in range(most):
        at = {name: domains[name][place] for name, place in chosen.items()}
        failed = attempt(at)
        if failed is None:
            return at
        culprits = frozenset(failed)
        while culprits:
            last = max(culprits, key=order.__getitem__)
            gone[last][chosen[last]] = culprits - {last}
            left = [place for place in range(len(domains[last])) if place not in gone[last]]
            if left:
                chosen[last] = left[0]
                for name in [name for name, places in gone.items() if any(last in why for why in places.values())]:
                    gone[name] = {place: why for place, why in gone[name].items() if last not in why}
                    chosen[name] = next(place for place in range(len(domains[name])) if place not in gone[name])
                break
            culprits = frozenset().union(*gone[last].values())
            gone[last], chosen[last] = {}, 0
        else:
            return None
    return None
