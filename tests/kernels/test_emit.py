"""The generated module as a text: the same each time, readable, standing alone."""

import ast
import keyword
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sympy import Symbol

import bptt
from bptt.derive import derive, parse
from bptt.kernels import compile
from bptt.kernels.emit import emit
from bptt.kernels.printer import function_name
from bptt.kernels.schedule import functions, loss, schedule
from bptt.kernels.sections import SECTIONS, STRETCHING
from bptt.kernels.writer import IMPORTED, RESERVED

HERE = Path(__file__).parent
SOURCES = """
import hashlib, runpy, sys
import bptt
from bptt.kernels import compile

cells = [bptt.load(name) for name in bptt.zoo()]
cells += [bptt.parse(text, name) for name, text in runpy.run_path(sys.argv[1])["HOME_MADE"].items()]
for cell in cells:
    print(cell.name, hashlib.sha256(compile(cell).source.encode()).hexdigest())
"""
PLAIN = """
import runpy, sys
import numba
import numpy as np
import bptt
from bptt.kernels import compile

assert numba.config.DISABLE_JIT
home_made = runpy.run_path(sys.argv[1])["HOME_MADE"]
for name in sys.argv[3:]:
    kernel = compile(bptt.parse(home_made[name], name) if name in home_made else bptt.load(name))
    given = np.load(f"{sys.argv[2]}/{name}.npz")
    part = {
        group: {key.split(":")[1]: array for key, array in given.items() if key.startswith(group)}
        for group in ("params", "inputs", "state", "cotangents")
    }
    run = kernel.forward(part["params"], part["inputs"], part["state"], steps=5, batch=2)
    grads = kernel.backward(run, part["cotangents"])
    found = {f"states:{key}": array for key, array in run.states.items()}
    for group in ("params", "inputs", "state"):
        found |= {f"{group}:{key}": array for key, array in getattr(grads, group).items()}
    np.savez(f"{sys.argv[2]}/{name}.found.npz", **found)
"""
RNN = derive(bptt.load("rnn"))
GROUPS = ("params", "inputs", "state")
HOSTILE_NAMES = {"T", "B", "t", "s", "np", "math", "range", "total", "k", "j0", "j1", "njit", "largest", "print"}
HOSTILE_NAMES |= {*SECTIONS, "size_n", "size_n_", "T_", "T__", "p1", "p2", "n", "A_once", "a_h", "u_h", "tanh_"}


def with_doc(doc):
    return emit(schedule(replace(RNN, cell=replace(RNN.cell, doc=doc)))).source


def docstring(source):
    return ast.get_docstring(ast.parse(source), clean=False) or ""


def test_hash_seeds_do_not_show(case):
    assert re.fullmatch("[0-9a-f]{64}", digests(0)[case.name])
    assert digests(0)[case.name] == digests(1)[case.name] == digests(2)[case.name]


def digests(seed, made={}):  # noqa: B006 - kept between calls
    if not made:
        command = [sys.executable, "-c", SOURCES, str(HERE / "cells.py")]
        started = [
            subprocess.Popen(command, env={**os.environ, "PYTHONHASHSEED": str(s)}, stdout=subprocess.PIPE, text=True)
            for s in (0, 1, 2)
        ]
        for number, process in enumerate(started):
            out, _ = process.communicate(timeout=120)
            assert process.returncode == 0
            made[number] = dict(line.split() for line in out.splitlines())
    return made[seed]


def test_plain_python_gives_the_same_numbers(make_case, assert_close, tmp_path):
    names = ["rnn", "gru", "peephole", "attention", "two_inputs", "skew", "memory", "pieces", "kinks", "functions"]
    names += ["henon", "collisions", "unicode"]
    for name in names:
        case = make_case(name)
        groups = {group: getattr(case, group) for group in ("params", "inputs", "state", "cotangents")}
        arrays = {f"{group}:{key}": array for group, table in groups.items() for key, array in table.items()}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    command = [sys.executable, "-W", "error", "-c", PLAIN, str(HERE / "cells.py"), str(tmp_path), *names]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "BPTT_CACHE": str(tmp_path / "cache")}
    subprocess.run(command, env=environment, check=True, timeout=120)
    for name in names:
        case, found = make_case(name), np.load(tmp_path / f"{name}.found.npz")
        for group, table in (("states", case.run.states), *((g, getattr(case.grads, g)) for g in GROUPS)):
            # not 0: compiled code joins products and sums, whose rounding then differs
            assert_close({key: found[f"{group}:{key}"] for key in table}, table, 1e-12)


def test_every_step_stands_as_a_comment(case):
    source, derivation = case.kernel.source, case.kernel.derivation
    for step in derivation.steps:
        if step.expr != 0:
            assert re.search(rf"^ +# {re.escape(str(step.target))}(_once)? \+?= ", source, re.MULTILINE), step
    for equation in case.cell.equations:
        assert f"\n{equation.target} = " in docstring(source)


def test_the_module_says_from_what_it_was_made(case):
    found = docstring(case.kernel.source)
    assert "Generated: edit the definition instead." in found
    definition = found.split("Generated: edit the definition instead.\n\n")[1]
    assert compile(parse(definition, case.name)).schedule.forward == case.kernel.schedule.forward


def test_the_module_imports_nothing_of_the_cell(case):
    tree = ast.parse(case.kernel.source)
    imported = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imported}
    assert modules <= {
        "math",
        "numba",
        *(f"bptt.kernels.{name}" for name in ("functions", "meeting", "orthogonal", "products", "vector")),
    }
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert defined[-len(SECTIONS) - 1 :] == [*SECTIONS, STRETCHING]
    assert all(line == line.rstrip() and "\t" not in line for line in case.kernel.source.splitlines())


def test_names_are_free(case):
    emitted = emit(case.kernel.schedule)
    helpers = {function_name(function.rule.name) for function in functions(case.kernel.schedule)}
    taken = [*emitted.arrays.values(), *emitted.sizes.values(), *emitted.packed]
    assert len(set(taken)) == len(taken)
    assert not set(taken) & (RESERVED | helpers | set(SECTIONS))
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in taken)


@given(st.lists(st.sampled_from(sorted(HOSTILE_NAMES)), min_size=4, max_size=4, unique=True))
@settings(max_examples=40, deadline=None)
def test_parameters_may_have_any_name(names):
    first, second, third, fourth = names
    declared = f"{first}: param[n, n]\n" + "".join(f"{name}: param[n]\n" for name in (second, third, fourth))
    lines = f"A = {first} - {first}.T\nh = tanh(A @ h + {second} * x + {third}) * {fourth}"
    text = f"x: input[n]\nh: state[n]\n{declared}{lines}"
    source = compile(parse(text)).source
    for function in [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]:
        arguments = [argument.arg for argument in function.args.args]
        names_in = [node for line in function.body for node in ast.walk(line) if isinstance(node, ast.Name)]
        assigned = {node.id for node in names_in if isinstance(node.ctx, ast.Store)}
        read = {node.id for node in names_in if isinstance(node.ctx, ast.Load)}
        assert len(set(arguments)) == len(arguments)
        assert not {*arguments, *assigned} & {"range", "max", "abs", "np", "math", "njit", "tanh", *IMPORTED}
        assert not assigned & set(arguments)
        assert read <= {*arguments, *assigned, "range", "len", "max", "min", "np", "math", "tanh", "tangent", *IMPORTED}


def test_names_of_adjoints_do_not_meet(make_case):
    """A state `loss_h` beside `h`, a parameter `W_once` beside a `W` of the prologue."""
    kernel = make_case("collisions").kernel
    arrays = set(emit(kernel.schedule).arrays.values())
    assert {"delta_W_once", "delta_W_once_", "incoming_loss_h", "incoming_loss_h_"} <= arrays
    places = kernel.schedule.places
    assert places[Symbol("incoming_loss_h")].block != places[loss("h")].block


def test_golden():
    """The text of one module, byte for byte. To accept a change: bptt kernel rnn -o tests/kernels/golden/rnn.py"""
    expected = (HERE / "golden" / "rnn.py").read_text(encoding="utf-8")
    assert compile(RNN).source == expected, "to accept the change: bptt kernel rnn -o tests/kernels/golden/rnn.py"


HOSTILE = [
    '"""\nimport os\nos.remove("x")\n"""',
    '""""""""',
    'ends with a quote"',
    "ends with a backslash\\",
    '\\"""',
    "\\x00\\N{BULLET}\\u12",
    "null \x00, bell \x07, return \r, form feed \f, escape \x1b[2J",
    "lone surrogate \ud800, separators \u2028 \x85, direction \u202e",
    "'''",
    "# -*- coding: latin-1 -*-",
    ">>> 1 / 0",
]


@pytest.mark.parametrize("doc", HOSTILE)
def test_a_hostile_docstring_stays_a_docstring(doc):
    source = with_doc(doc)
    source.encode("utf-8")
    assert_same_code(source)
    assert docstring(source).startswith(doc.strip().replace('"""', "'''"))


def test_a_hostile_docstring_goes_through_the_parser():
    text = f"{HOSTILE[0]!r}\n{replace(RNN.cell, doc='').text}"
    assert_same_code(compile(parse(text)).source)


@given(st.text(alphabet=st.sampled_from("\"'\\\n\r\x00 a#{}"), max_size=12) | st.text(max_size=20))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_docstring_stays_a_docstring(doc):
    assert_same_code(with_doc(doc))


def assert_same_code(source):
    plain = ast.parse(with_doc("Plain."))
    assert list(map(ast.dump, ast.parse(source).body[1:])) == list(map(ast.dump, plain.body[1:]))
