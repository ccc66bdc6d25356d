"""Parse tree of one side of an equation in LaTeX -> `Tree`; notes how names are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from lark import Token, Transformer, v_args

from ...derive.functions import FUNCTIONS as ELEMENTWISE
from .formulas import ALIASES, applied
from .latex_parts import Big, Differential, Function, Gradient, Group, Ones, Raised
from .latex_symbols import (
    ACCENTS,
    SEVERAL,
    Refused,
    Symbol,
    Unjudged,
    UnjudgedScript,
    inside,
    is_transpose,
    plain,
    scripted,
)
from .tree import Jacobian, Name, Tree, add, call, inv, mul, name, neg, number, places, power, transposed

CALLED = {"sigma": "sigmoid", "sigm": "sigmoid", "ReLU": "relu", "ln": "log", "logistic": "sigmoid", "diagonal": "diag"}
KNOWN = {*ELEMENTWISE, *CALLED, *ALIASES, "diag", "softmax", "concat", "outer", "sum", "dot", "norm", "cat", "vec"} - {
    "sigma",
    "vec",
}
LOSSES = {"L", "J", "E", "C", "ell", "loss", "Loss", "cost", "l"}
DIFFERENTIALS = {"d", "delta", "Delta", "partial"}
ACCENTED = {f"{mark}_{accent}" for mark in ("delta", "Delta") for accent in ACCENTS.values()}
JOIN, SUM = "join", "sum_i"  # what stands side by side; a sum over entries
RENAMED = {"varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "lambda": "lamda"}  # lambda: not of Python
TIMES = ("SUB", "SUP", "CLOCK")  # scripts in which a time may stand
BRACED = r"^\\\{|\\\}$"


def one_letter(text: str) -> dict[str, str]:
    r"""Return forms of letters -> the letter, but for those that a text has both of: \vartheta beside \theta."""
    used = set(re.findall(r"\\([A-Za-z]+)", text))
    return {form: letter for form, letter in RENAMED.items() if not {form, letter} <= used}


@v_args(inline=True)
class Builder(Transformer[Any, Any]):
    """Makes trees.

    Args:
        states: letters that aren't a loss here, since the text gives them another step.
        read: parses a piece of text as one side of an equation.
    """

    def __init__(self, states: Iterable[str], read: Callable[[str, Token], Any]) -> None:
        super().__init__()
        self.losses = LOSSES - set(states)
        self.functions: dict[str, str] = {}  # letters that the text says are functions
        self.read = read
        self.clocks: set[str] = {"t"}
        self.renamed = RENAMED  # forms of one letter
        self.indices: set[str] = set()  # letters that count entries
        self.templates: dict[str, str] = {}
        self.timed: set[str] = set()

    def start(self, item: Any) -> Any:
        return item

    # symbols
    def letter(self, token: Token) -> Symbol | Function:
        text = str(token)
        label = text.lstrip("\\")
        if label == "star":
            raise UnjudgedScript(token, SEVERAL)
        return Symbol(self.renamed.get(label, label), text, token)

    def word(self, token: Token) -> Symbol | Function:
        text = re.sub(r"\\[A-Za-z]+\*?\s*\{|[\\{}\s]", "", str(token))
        if text in KNOWN and len(text) > 1 or text in ("sigma", "diag"):
            return Function(text, token)
        return Symbol(re.sub(r"[^A-Za-z0-9_]", "", text), str(token), token)

    def number(self, token: Token) -> Tree:
        return number(str(token))

    def ones(self, token: Token) -> Ones:
        return Ones(token)

    def accented(self, accent: Token, inner: Any) -> Any:
        label = str(accent).lstrip("\\")
        held = inner.items[0] if isinstance(inner, Group) and len(inner.items) == 1 else inner
        if label not in ACCENTS:
            return replace(held, shown=f"{accent}{{{held.shown}}}") if isinstance(held, Symbol) else held
        if not isinstance(held, Symbol):
            raise Refused(accent, f"{accent} stands over one symbol")
        return replace(held, letter=f"{held.letter}_{ACCENTS[label]}", shown=f"{accent}{{{held.shown}}}", bare=False)

    def item(self, atom: Any, *scripts: Token) -> Any:
        left: list[Token] = []
        for script in scripts:
            if isinstance(atom, Symbol) and script.type in TIMES:
                if atom.letter in ("nabla", "partial") and script.type == "SUB":
                    of = self.read(inside(script), script)
                    if not isinstance(of, Symbol):
                        raise Refused(script, "a gradient is by one quantity")
                    return Gradient(of)
                if atom.letter == "partial" and inside(script) == "+":  # the derivative of the equation alone
                    continue
                atom, more = scripted(atom, script, self.clocks)
                left += more
            elif isinstance(atom, Differential) and script.type in TIMES:
                of, more = scripted(atom.of, script, self.clocks)
                atom, left = replace(atom, of=of), [*left, *more]
            elif isinstance(atom, Big):
                text = inside(script)
                atom = replace(atom, below=text) if script.type == "SUB" else replace(atom, above=text)
            elif isinstance(atom, Ones) and script.type == "SUB":
                found = self.tree(self.read(f"({re.sub(BRACED, '', inside(script))})", script))
                atom = found if isinstance(found, Tree) and found.leaf == "step" else number(1)
            else:
                left.append(script)
        if left and (isinstance(atom, Group) or isinstance(atom, Symbol) and atom.at and all(map(is_transpose, left))):
            return Raised(atom, tuple(left))
        return self._with(atom, left)

    def _with(self, atom: Any, scripts: Iterable[Token]) -> Any:
        for script in scripts:
            atom = self._raised(atom, script)
        return atom

    def script(self, token: Token) -> Token:
        return token

    def _raised(self, base: Any, mark: Token) -> Any:
        text = inside(mark) if mark.type in ("SUB", "SUP") else str(mark)
        prime = mark.type == "PRIME" or text in ("\\prime", "'")
        if isinstance(base, Function) or (prime and isinstance(base, Symbol) and self._function(base)):
            base = base if isinstance(base, Function) else Function(self._function(base), base.token, symbol=base)
            if prime:
                return replace(base, label=base.label + "'")
            if text.lstrip("-").isdigit():
                return replace(base, exponent=int(text))
            raise Refused(mark, f"the script {text} of a function isn't understood")
        if prime and isinstance(base, Symbol) and not base.letter[:1].isupper():
            return replace(base, words=(*base.words, "prime"), shown=base.shown + "'")
        if prime or is_transpose(mark):
            return transposed(self.tree(base))
        if mark.type == "SUP" and (found := re.fullmatch(r"(?:\\odot|\\circ)?(-?\d+)", plain(text))):
            return power(self.tree(base), found[1])
        raise UnjudgedScript(mark, f"the {'index' if mark.type == 'SUB' else 'superscript'} {text} isn't understood")

    def _function(self, symbol: Symbol) -> str:
        if symbol.at or not (symbol.bare or symbol.words):
            return ""
        return self.functions.get(symbol.base, "sigmoid" if symbol.letter == "sigma" else "")

    def tree(self, item: Any) -> Tree:
        """Return the tree of what may be a symbol, a group or a function."""
        match item:
            case Tree():
                return item
            case Symbol():
                return self._named(item.base, item)
            case Differential():
                return self._differential(item)
            case Ones():
                return number(1)
            case Raised(group=group, scripts=scripts):
                return self.tree(self._with(self.tree(group), scripts))
            case Group(items=(inner,)):
                return self.tree(inner)
            case Group(items=items, square=True):
                return call("concat", *map(self.tree, items))
            case Function(symbol=Symbol() as symbol):
                return self.tree(symbol)
            case Function(token=token, label=label):
                raise Refused(token, f"{label} has no argument")
            case Gradient(of=of):
                raise Refused(of.token, "a gradient is that of a loss, as in \\nabla_{W} L")
            case Big(token=token):
                raise Refused(token, "there is nothing after it")
            case Group(items=items):
                raise Refused(_token_of(items[0]), "a list in parentheses is the arguments of a function")
        raise TypeError(item)

    def _named(self, base: str, symbol: Symbol, shown: str = "") -> Tree:
        held = base if symbol.at in ("", "t") else f"{base}@{symbol.at}"
        written = shown or symbol.shown
        known = self.templates.get(base, "")
        if "<N>" in written or ("<N>" not in known and ("<T>" in written or "<T>" not in known)):
            self.templates[base] = written
        if symbol.at:
            self.timed.add(base)
        return name(held, symbol.offset)

    # brackets and functions
    def group(self, inner: Group) -> Group:
        return inner

    def braces(self, inner: Any) -> Any:
        return Group((inner,)) if not isinstance(inner, Symbol) else inner

    def square(self, inner: Group) -> Group:
        return replace(inner, square=True)

    def inside(self, *items: Any) -> Group:
        return Group(tuple(part for part in items if not isinstance(part, Token)))

    def ordered(self, left: Any, order: Token, right: Any) -> Group:
        a, b = self.tree(left), self.tree(right)
        if str(order) in ("<", "\\le", "\\leq", "\\lt"):
            a, b = b, a
        return Group((call("step", a if b == number(0) else neg(b) if a == number(0) else add(a, neg(b))),))

    def fraction(self, _: Token, above: Any, below: Any) -> Any:
        if isinstance(above, Differential) and isinstance(below, Differential):
            return self._derivative(above, below)
        if isinstance(below, Differential) and below.mark.letter == "partial":
            raise Refused(below.mark.token, "write \\frac{\\partial L}{\\partial h_t}, with the loss above")
        return mul(self.tree(above), inv(self.tree(below)))

    def big(self, token: Token) -> Big:
        return Big("sum_t" if token.type == "SUM" else "prod_t", token)

    def angle(self, _: Token, left: Any, __: Token, right: Any, ___: Token) -> Tree:
        return call("outer", self.tree(left), self.tree(right))

    def matrix(self, token: Token, *parts: Any) -> Tree:
        items = [self.tree(part) for part in parts if not isinstance(part, Token)]
        if len({part.type for part in parts if isinstance(part, Token)} & {"ROW", "SEPARATOR"}) > 1:
            raise Refused(token, "a matrix here is one column or one row, for concatenation")
        if all(item.head == "T" for item in items):
            return transposed(call("concat", *(item.args[0] for item in items))) if len(items) > 1 else items[0]
        return call("concat", *items) if len(items) > 1 else items[0]

    def branch(self, value: Any, condition: Token | None = None) -> tuple[Any, str]:
        return value, re.sub(r"\s+", " ", str(condition or "").replace("\x00", " ").lstrip("&")).strip()

    def cases(self, token: Token, *parts: Any) -> Any:
        """Return the step function of (1 if a > 0, 0 otherwise), or the case of a step before the last."""
        branches = [part for part in parts if isinstance(part, tuple)]
        trees = [self.tree(value) for value, _ in branches]
        if len(branches) == 2 and number(0) in trees:
            said = re.sub(r"\\(?:text|mathrm)\{[^{}]*\}|,|\x00", " ", branches[0][1])
            if condition := re.search(r"([^<>]+?)(>|<|\\geq?\b|\\leq?\b)\s*0", said):
                positive = (condition[2] in (">", "\\ge", "\\geq")) == (trees[1] == number(0))
                argument = self.tree(self.read(condition[1], token))
                value = trees[trees[0] == number(0)]
                step = call("step", argument if positive else neg(argument))
                return step if value == number(1) else mul(value, step)
        last = [re.search(r"t\s*=\s*(T|\\tau|N)", condition) is not None for _, condition in branches]
        if len(branches) == 2 and sum(last) == 1:
            return trees[last.index(False)]
        raise Refused(
            token, "cases are a value where something is > 0 and 0 otherwise, or a step before the last and t = T"
        )

    # sums and products
    def plus(self) -> str:
        return "+"

    def minus(self) -> str:
        return "-"

    def sum(self, first: Any, *rest: Any) -> Any:
        if not rest:
            return first
        terms: list[Tree] = []
        signs, pieces = ["+", *rest[::2]], [first, *rest[1::2]]
        for index, (sign, term) in enumerate(zip(signs, pieces, strict=True)):
            before = pieces[index - 1] if index else None
            if isinstance(term, Big) and index + 1 < len(pieces):
                continue  # the sign after it is of what is summed
            tree = neg(self.tree(term)) if sign == "-" else self.tree(term)
            if isinstance(before, Big):
                tree = self._over(before, tree)
                tree = neg(tree) if signs[index - 1] == "-" else tree
            terms.append(tree)
        return add(*terms) if len(terms) > 1 else terms[0]

    def negative(self, inner: Any) -> Tree:
        return neg(self.tree(inner))

    def positive(self, inner: Any) -> Any:
        return inner

    def operator(self, token: Token) -> Token:
        return token

    def chain(self, *items: Any) -> list[Any]:
        return self._applied(list(items))

    def _applied(self, items: list[Any]) -> list[Any]:
        """Give functions their arguments, and d, ∂ and ∇ what stands after them."""
        made: list[Any] = []
        while items:
            item = items.pop(0)
            after = items[0].group if items and isinstance(items[0], Raised) else items[0] if items else None
            if isinstance(item, Symbol) and isinstance(after, Group) and self._function(item):
                item = Function(self._function(item), item.token, symbol=item)
            if isinstance(item, Function) and item.symbol is not None and not isinstance(after, Group):
                item = item.symbol
            if isinstance(item, Function):
                if not items:
                    made.append(item)
                    continue
                scripts = items[0].scripts if isinstance(items[0], Raised) else ()
                made.append(self._with(self._call(item, self._argument(items)), scripts))
            elif isinstance(item, Symbol) and isinstance(after, Symbol) and self._is_mark(item, after):
                scripts = items[0].scripts if isinstance(items[0], Raised) else ()
                (of, *rest) = self._applied([after, *items[1:]])
                if not isinstance(of, Symbol):
                    raise Refused(item.token, f"{item.shown} stands before one quantity")
                if of.bare and of.letter == "p" and rest and isinstance(rest[0], Symbol) and "_" in rest[0].letter:
                    after = rest.pop(0)  # dp\tilde{c}, of the argument of \tilde{c}
                    of = replace(after, letter=f"p_{after.letter}", shown=f"p{after.shown}")
                made += [Raised(Differential(item, of), scripts) if scripts else Differential(item, of), *rest]
                break
            elif isinstance(item, Gradient):
                if not isinstance(after, Symbol) or after.letter.removeprefix("mathcal") not in self.losses:
                    raise Refused(_token_of(after or item.of), "a gradient is that of a loss, as in \\nabla_{W} L")
                items.pop(0)
                made.append(self._adjoint(after, item.of))
            elif isinstance(item, Ones):
                indicator = (
                    isinstance(after, Group)
                    and not isinstance(items[0], Raised)
                    and isinstance(after.items[0], Tree)
                    and after.items[0].leaf == "step"
                )
                made.append(self.tree(items.pop(0)) if indicator else number(1))
            else:
                made.append(item)
        return made

    def _is_mark(self, symbol: Symbol, of: Symbol) -> bool:
        r"""Return whether a symbol makes the gradient of what stands after it: d, \delta, \hat\delta, \nabla W."""
        accented = symbol.letter in ACCENTED and not symbol.at and not symbol.words
        nabla = symbol.letter == "nabla" and of.letter.removeprefix("mathcal") not in self.losses
        return accented or symbol.bare and (nabla or symbol.letter in DIFFERENTIALS)

    def _argument(self, items: list[Any]) -> list[Tree]:
        item = items.pop(0)
        item = item.group if isinstance(item, Raised) else item
        if isinstance(item, Group) and not item.square:
            return [self.tree(part) for part in item.items]
        if isinstance(item, Group):
            return [self.tree(item)] if len(item.items) == 1 else [self.tree(part) for part in item.items]
        return [self.tree(item)]

    def _call(self, function: Function, arguments: list[Tree]) -> Tree:
        prime = "'" if function.label.endswith("'") else ""
        if function.label.rstrip("'") != function.label and len(function.label) - len(function.label.rstrip("'")) > 1:
            raise Refused(function.token, "second derivatives aren't read")
        label = function.label.rstrip("'")
        label = CALLED.get(label, ALIASES.get(label, label)) + prime
        made = applied(label, arguments)
        if made is None:
            raise Refused(function.token, f"{label} takes another number of arguments, here {len(arguments)}")
        return made if function.exponent == 1 else power(made, function.exponent)

    def factors(self, *parts: Any) -> Any:
        sequence: list[tuple[str, Any]] = []
        for part in parts:
            if isinstance(part, Token):
                sequence.append((part.type, None))
            else:
                for index, item in enumerate(part):
                    sequence.append(("" if index else "FIRST", item))
        flat: list[tuple[str, Any]] = []
        operator = ""
        for kind, item in sequence:
            if item is None:
                operator = kind
            else:
                flat.append((operator if kind == "FIRST" and operator else "SIDE" if flat else "", item))
                operator = ""
        return self._combined(flat)

    def _combined(self, flat: list[tuple[str, Any]]) -> Any:
        for place, (operator, item) in enumerate(flat):
            if isinstance(item, Big):
                body = flat[place + 1 :]
                if not body:
                    if not place:
                        return item
                    raise Refused(item.token, "there is nothing after it")
                whole = self._over(item, self.tree(self._combined([("", body[0][1]), *body[1:]])))
                return self._combined([*flat[:place], (operator, whole)]) if place else whole
        if len(flat) == 1:
            return flat[0][1]
        groups: list[tuple[str, list[Tree]]] = []
        held: list[tuple[str, Any]] = []
        for operator, item in flat:
            if operator == "OVER" and held and isinstance(held[-1][1], Differential) and isinstance(item, Differential):
                held[-1] = (held[-1][0], self._derivative(held[-1][1], item))
            else:
                held.append((operator, item))
        for operator, item in held:
            if operator == "SIDE" or (operator == "DOT" and groups):
                groups[-1][1].append(self.tree(item))
            else:
                groups.append((operator, [self.tree(item)]))
        made: Tree | None = None
        for operator, items in groups:
            value = items[0] if len(items) == 1 else Tree(JOIN, tuple(items))
            if made is None:
                made = value
            elif operator == "OVER":
                made = mul(made, inv(value))
            elif operator == "OUTER":
                made = call("outer", made, value)
            else:
                made = mul(made, value)
        return made

    def _over(self, big: Big, body: Tree) -> Tree:
        below = re.sub(r"\s|\\limits", "", plain(big.below))
        found = re.match(r"\(?(\\?[A-Za-z]+)(?:=|\\in|$)(.*)", below) or re.match(
            r".*?(?:\\geq?|>|\\leq?|<)(\\?[A-Za-z]+)()", below
        )
        clock = found[1].lstrip("\\") if found else "t"
        if clock in self.indices and big.kind == "sum_t":
            return Tree(SUM, (body,), clock)
        first = (found[2] if found else "").replace("{", "").replace("}", "")
        last = re.sub(r"\s", "", plain(big.above))
        others = {n.base.split("@")[1] for n in _all_names(body) if "@" in n.base} - {clock}
        here = {n.base for n in _all_names(body) if "@" not in n.base and n.base in self.timed}
        timeless = clock != "t" and not any(n.base.endswith(f"@{clock}") for n in _all_names(body))
        if clock not in self.clocks or timeless:
            raise Refused(big.token, "sums are over time, as in \\sum_t; for entries, write vectors and matrices")
        if big.kind == "sum_t" and (
            others or (clock != "t" and here) or any(p.head == "jacobian" for _, p in places(body))
        ):
            raise Unjudged("it sums over the steps between two times, with Jacobians; check the recursion instead")
        if big.kind == "prod_t" and clock == "t" and not big.below:
            raise Refused(big.token, "a product says over which steps, as in \\prod_{j=k+1}^{t}")
        made = shifted(body, clock, 0)
        if big.kind == "sum_t":
            times = {found.offset for found in _all_names(made) if found.base in self.timed}
            over_all = not first and not last and min(times, default=0) >= 0 < max(times, default=0)
            if over_all or (first == "0" and last in ("T-1", "T−1")):  # t+1 runs over the steps
                made = shifted(made, clock, -1)
            return Tree("sum_t", (made,))
        return Tree("prod_t", (made,), (first or below, last, clock))

    # derivatives
    def _differential(self, item: Differential) -> Tree:
        mark, of = item.mark, item.of
        if mark.letter == "partial":
            raise Refused(mark.token, "write \\frac{\\partial L}{\\partial h_t}")
        base = f"d{of.base}" if mark.letter == "d" else f"{mark.letter}_{of.base}"
        gap = " " if mark.shown.startswith("\\") else ""
        return self._named(base, of, f"{mark.shown}{gap}{of.shown}")

    def _derivative(self, above: Differential, below: Differential) -> Tree:
        if above.of.letter in self.losses and above.of.offset in (0, below.of.offset):
            return self._adjoint(above.of, below.of)
        of, by = self.tree(above.of).leaf, self.tree(below.of).leaf
        assert isinstance(of, Name) and isinstance(by, Name)
        return Tree("jacobian", (), Jacobian(of, by))

    def _adjoint(self, loss: Symbol, of: Symbol) -> Tree:
        own = bool(loss.at)
        base = f"dL_d{of.base}" + ("_loss" if own else "")
        return self._named(base, of, f"\\frac{{\\partial {loss.shown}}}{{\\partial {of.shown}}}")


def _token_of(item: Any) -> Token:
    for held in (item, *getattr(item, "items", ())):
        token = getattr(held, "token", None)
        if isinstance(token, Token):
            return token
    return Token("SYMBOL", "", line=1, column=1)


def _all_names(tree: Tree) -> list[Name]:
    found = []
    for _, part in places(tree):
        if isinstance(part.leaf, Name):
            found.append(part.leaf)
        elif isinstance(part.leaf, Jacobian):
            found += [part.leaf.of, part.leaf.by]
    return found


def shifted(tree: Tree, clock: str, steps: int) -> Tree:
    """Return a tree with the time `clock` called t, and all its times moved."""

    def moved(found: Name) -> Name:
        base, _, at = found.base.partition("@")
        if (at or "t") != clock:
            return found
        return Name(base, found.offset + steps)

    if isinstance(tree.leaf, Name):
        return Tree("name", (), moved(tree.leaf))
    if isinstance(tree.leaf, Jacobian):
        return Tree("jacobian", (), Jacobian(moved(tree.leaf.of), moved(tree.leaf.by)))
    return Tree(tree.head, tuple(shifted(operand, clock, steps) for operand in tree.args), tree.leaf)
