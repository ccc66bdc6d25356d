"""Cells that bptt has never seen go the whole way: derive, prove, compile, flow, report and PDF."""

import io

import numpy as np
import pypdf
import pytest
from click.testing import CliRunner

import bptt
from bptt.cli import main

STRANGERS = {
    "peephole": """
"A cell with peephole weights and one gate for both ways."
x: input[m]
h: state[n]
c: state[n]
i = sigmoid(W_xi @ x + W_hi @ h + p_i * c + b_i)
c = (1 - i) * c + i * tanh(W_xg @ x + W_hg @ h + b_g)
o = sigmoid(W_xo @ x + p_o * c + b_o)
h = o * tanh(c)
""",
    "context": """
"A cell that attends to the rows of a context matrix."
x: input[m]
V: input[L, D]
h: state[n]
alpha = softmax(V @ (W_a @ h))
z = V.T @ alpha
h = tanh(W_hh @ h + W_zh @ z + W_xh @ x + b_h)
""",
    "two_inputs": """
"A cell with two inputs, one of which scales the state."
x: input[m]
u: input[k]
h: state[n]
r = sigmoid(W_ur @ u + w_r)
h = r * h + (1 - r) * tanh(W_xh @ x + W_hh @ (r * h) / (1 + norm(h)))
""",
}


@pytest.fixture(params=STRANGERS)
def cell(request):
    return bptt.parse(STRANGERS[request.param], request.param)


@pytest.fixture
def derivation(cell):
    return bptt.derive(cell)


def test_it_is_proved(derivation):
    proof = derivation.prove()
    assert proof.holds, str(proof)
    assert proof.entries > 20


def test_its_gradients_are_those_of_finite_differences(cell):
    kernel = bptt.compile(cell)
    numbers = np.random.default_rng(0)
    sizes = dict(zip("nmkLD", (3, 4, 2, 5, 6), strict=True))
    sizes = {name: sizes[name] for name in sorted({d for dims in (*cell.inputs.values(), ("n",)) for d in dims})}
    params = {name: np.asarray(0.5 * numbers.standard_normal(a.shape)) for name, a in kernel.init(sizes).items()}
    inputs = {name: numbers.standard_normal((5, 2, *(sizes[d] for d in dims))) for name, dims in cell.inputs.items()}
    weights = {name: numbers.standard_normal((5, 2, sizes["n"])) for name in cell.states}

    def loss(given):
        states = kernel.forward(given, inputs).states
        return sum(np.sum(weights[name] * states[name]) for name in weights)

    grads = kernel.backward(kernel.forward(params, inputs), weights)
    direction = {name: numbers.standard_normal(array.shape) for name, array in params.items()}
    step = 1e-6
    ahead, behind = ({n: a + s * step * direction[n] for n, a in params.items()} for s in (1, -1))
    slope = sum(np.sum(grads.params[name] * direction[name]) for name in params)
    # central differences: truncation ~ step², rounding ~ 1e-16 / step
    assert (loss(ahead) - loss(behind)) / (2 * step) == pytest.approx(slope, rel=1e-7)


def test_it_goes_through_the_command_line_to_a_pdf(cell, tmp_path):
    path = tmp_path / f"{cell.name}.cell"
    path.write_text(STRANGERS[cell.name], encoding="utf-8")
    study = ["--quick", "--hidden", "4", "--steps", "6", "--batch", "2", "--seeds", "2"]
    result = CliRunner().invoke(main, ["report", str(path), "-o", str(tmp_path / "out"), *study])
    assert result.exit_code == 0, result.output
    reader = pypdf.PdfReader(io.BytesIO((tmp_path / "out" / f"{cell.name}.pdf").read_bytes()))
    text = "".join(page.extract_text() for page in reader.pages)
    assert cell.title in text
    assert "Proved" in text
