"""Names in an expression of a model -> names of the passage's own, and wires to what comes from elsewhere."""

from __future__ import annotations

import ast
import copy

from .functions import FUNCTIONS
from .scope import ENDINGS, LAST, LOSS, ONCE, STEP, WHOLE, Passage, Scope, Wire
from .syntax import RESERVED, TENSOR_FUNCTIONS, check_expression, closest, is_reserved, of_a_size, size_names

STACK = "stack"


def resolved(scope: Scope, value: ast.expr, passage: Passage) -> ast.expr:
    """Return an expression in which everything from elsewhere is a name that `passage.wires` knows."""
    made: ast.expr = _Resolver(scope, passage).visit(copy.deepcopy(value))
    check_expression(scope.text, made)
    for size in size_names(made):
        if size.id not in scope.sizes:
            hint = f"{closest(size.id, scope.sizes)} A declaration names the dimensions: 'h: state[n]'."
            raise scope.fail(size, f"'{size.id}' is not a dimension of anything that is declared", hint)
    return made


def is_function(name: str) -> bool:
    """Return whether a name is that of a function, not of a cell."""
    return name in FUNCTIONS or name in TENSOR_FUNCTIONS or name == STACK


class _Resolver(ast.NodeTransformer):
    """Replaces what comes from other passages by names of wires; leaves functions, sizes and indices alone."""

    def __init__(self, scope: Scope, passage: Passage) -> None:
        self.scope = scope
        self.passage = passage

    def visit_Name(self, node: ast.Name) -> ast.expr:
        scope, name = self.scope, node.id
        self._check_readable(node)
        if name in self.passage.targets or name in self.passage.states:
            return node
        if name in scope.homes:
            return self._wired(node, name, LAST if scope.homes[name].axis else ONCE)
        if scope.kind(name) in ("input", "index"):
            if scope.axes[name]:
                raise scope.fail(node, f"'{name}' is a sequence", self._how_to_read(name))
            return self._wired(node, name, ONCE)
        if scope.kind(name) == "state":
            hint = "Its loop comes later, or never assigns it."
            raise scope.fail(node, f"the state '{name}' has no value here", hint)
        if not scope.kind(name):
            if is_reserved(name):
                raise scope.fail(node, f"'{name}' is not defined", RESERVED)
            if name in scope.sizes:
                raise scope.fail(node, *of_a_size(name))
            if scope.find_cell(name) is not None:
                hint = f"Call it on a line of its own, 'h = {name}(x[t])', or declare a parameter, '{name}: param[n]'."
                raise scope.fail(node, f"'{name}' is a cell and stands here without arguments", hint)
            scope.used.setdefault(name, node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        counter = self.passage.variable
        if counter and isinstance(node.slice, ast.Name) and node.slice.id == counter:
            return self._step(node)
        if self._is_index(node.slice):
            node.slice = self.visit(node.slice)
            node.value = self.visit(node.value)
            function = ast.copy_location(ast.Name("lookup", ast.Load()), node)
            return ast.copy_location(ast.Call(function, [node.value, node.slice], []), node)
        if isinstance(node.slice, ast.Subscript):
            hint = "Declare one as in 'w: index[T, k]', and read it as in E[w[t]]."
            raise self.scope.fail(node.slice, "only an index picks a row of a table", hint)
        for part in ast.walk(node.slice):
            if isinstance(part, ast.Name) and part.id in {counter, *self.scope.counters}:
                hint = f"Write as in x[{counter or 't'}] in a loop. What comes from the step before is a state."
                raise self.scope.fail(node, "a sequence is read in a loop, at the loop's own step", hint)
        node.value = self.visit(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name):
            if node.func.id == STACK:
                return self._whole(node)
            if node.func.id == "ones":
                return node
            if not is_function(node.func.id):
                self._refuse_call(node.func)
        node.args = [self.visit(argument) for argument in node.args]
        return node

    def _check_readable(self, node: ast.Name) -> None:
        scope, name = self.scope, node.id
        scope.check_order(name, node)
        if name == self.passage.variable or name in scope.counters:
            raise scope.fail(
                node, f"'{name}' counts steps and can't be computed with", f"It picks a step, as in x[{name}]."
            )
        if name == LOSS:
            raise scope.fail(node, "the loss can't be read", "It is a sum over all steps.")
        if name in scope.layers:
            hint = f"Call it on a line of its own: 'h = {name}(x[t])'."
            raise scope.fail(node, f"'{name}' is a layer and stands here without arguments", hint)

    def _refuse_call(self, function: ast.Name) -> None:
        scope, name = self.scope, function.id
        if name in scope.layers or scope.find_cell(name) is not None:
            hint = f"Give it a line of its own: 'h = {name}(...)'."
            raise scope.fail(function, f"'{name}' is a cell and stands in an expression", hint)
        raise unknown(scope, function)

    def _how_to_read(self, name: str) -> str:
        counter, axis = self.passage.variable, self.scope.axes[name]
        at_step = (
            f"'{name}[{counter}]' is its value at a step"
            if self.passage.axis == axis
            else f"'{name}[t]' is its value at a step of a loop over {axis}"
        )
        return f"{at_step}." if self.scope.kind(name) == "index" else f"{at_step}, 'stack({name})' is all of it."

    def _step(self, node: ast.Subscript) -> ast.Name:
        """Resolve `x[t]`: a sequence at the loop's own step."""
        scope = self.scope
        if not isinstance(node.value, ast.Name):
            raise scope.fail(node, "only a name has steps", "Give the sequence a name, and write name[t].")
        name = node.value.id
        scope.check_order(name, node)
        if name in self.passage.targets or name in self.passage.states:
            raise scope.fail(node, f"'{name}' belongs to this loop", f"Its value at this step is '{name}', without [].")
        axis = scope.axis(name)
        if not axis:
            hint = f"An input with steps is declared as in '{name}: input[{self.passage.axis}, m]'."
            raise scope.fail(node, f"'{name}' has no steps", hint)
        if axis != self.passage.axis:
            raise scope.fail(
                node, f"'{name}' has {axis} steps, this loop has {self.passage.axis}", f"Read it in a loop over {axis}."
            )
        return self._wired(node, name, STEP)

    def _whole(self, node: ast.Call) -> ast.Name:
        """Resolve `stack(h)`: all steps of a sequence."""
        scope = self.scope
        name = node.args[0].id if len(node.args) == 1 and isinstance(node.args[0], ast.Name) else ""
        if not name or node.keywords or not scope.axis(name) or scope.homes.get(name) is self.passage:
            hint = "Write stack(h) after the loop that gives h, or stack(x) for an input with steps."
            if scope.kind(name) == "input" and not scope.axis(name):
                hint = f"No loop runs over what '{name}' is declared with: it is whole already, so write {name}."
            raise scope.fail(node, "stack takes the name of a sequence", hint)
        if scope.kind(name) == "index":
            raise scope.fail(node, "an index can't be stacked", "Look its rows up in a loop, and stack those.")
        return self._wired(node, name, WHOLE)

    def _is_index(self, node: ast.expr) -> bool:
        named = node.value if isinstance(node, ast.Subscript) else node
        return isinstance(named, ast.Name) and self.scope.kind(named.id) == "index"

    def _wired(self, node: ast.expr, source: str, part: str) -> ast.Name:
        name = self.scope.generated(source + ENDINGS[part], source) if part in ENDINGS else source
        wire = Wire(source, part)
        if self.passage.wires.setdefault(name, wire) != wire:
            raise self.scope.fail(node, f"'{name}' stands for two different things here", "Choose other names.")
        return ast.copy_location(ast.Name(name, ast.Load()), node)


def unknown(scope: Scope, function: ast.Name) -> Exception:
    """Return the error of a call of what is neither a function nor a cell."""
    hint = closest(function.id, [*FUNCTIONS, *TENSOR_FUNCTIONS, STACK, *scope.layers])
    return scope.fail(function, f"unknown function or cell '{function.id}'", f"{hint} {KNOWN_CELLS}")


KNOWN_CELLS = "'bptt cells' lists the cells; a .cell file beside the model's file is one too."
