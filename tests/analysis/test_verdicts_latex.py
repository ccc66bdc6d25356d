"""Backward passes in LaTeX: a declared dialect, judged like formulas, refused with the place where it isn't known."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bptt
from bptt.analysis.verdicts.latex import read_latex
from bptt.analysis.verdicts.tree import spell
from bptt.derive.errors import Source

RNN = r"""
\begin{align}
  \delta h_t &= \frac{\partial L_t}{\partial h_t} + W_{hh}^\top \delta a_{t+1} \label{eq:carry} \\
  \delta a_t &= \left(1 - h_t^2\right) \odot \delta h_t \\ % tanh' in its output
  \frac{\partial L}{\partial W_{hh}} &= \sum_{t=1}^{T} \delta a_t\, h_{t-1}^{\mathsf{T}} \\
  \frac{\partial L}{\partial W_{xh}} &= \sum_{t} \delta a_t x_t^\intercal, \\
  \frac{\partial L}{\partial b_h} &= \sum_t \delta a_t .
\end{align}
"""
LSTM = r"""
Let $L$ be the loss. We find
\begin{align*}
\bar{h}_t &= \frac{\partial L_t}{\partial h_t} + W_{hi}^T \delta_{i,t+1} + W_{hf}^T \delta_{f,t+1}
    + W_{ho}^T \delta_{o,t+1} + W_{hg}^T \delta_{g,t+1} \\
\bar{c}_t &= \bar{h}_t \circ o_t \circ (1 - \tanh^2(c_t)) + \bar{c}_{t+1} \circ f_{t+1} \\
\delta_{i,t} &= \bar{c}_t \circ g_t \circ i_t (1 - i_t) \\
\delta_{f,t} &= \bar{c}_t \circ c_{t-1} \circ f_t (1 - f_t) \\
\delta_{o,t} &= \bar{h}_t \circ \tanh(c_t) \circ o_t (1 - o_t) \\
\delta_{g,t} &= \bar{c}_t \circ i_t \circ (1 - g_t^2)
\end{align*}
"""
ROWS = r"""
$$ h_t = \tanh(x_t W_x + h_{t-1} W_h + b) $$
$$ \delta a_t = \delta h_t \odot \tanh'(x_t W_x + h_{t-1} W_h + b) $$
$$ \nabla_{W_h} \mathcal{L} \mathrel{+}= h_{t-1}^\top \delta a_t $$
$$ \nabla_{W_x} \mathcal{L} \mathrel{+}= x_t^\top \delta a_t $$
$$ \nabla_{b} \mathcal{L} \mathrel{+}= \delta a_t $$
$$ \delta h_{t-1} = \delta a_t W_h^\top $$
"""
SUPERSCRIPTS = r"""
\begin{gather}
\mathbf{h}^{\langle t \rangle}
  = \tanh(\mathbf{W} [\mathbf{h}^{\langle t-1\rangle}; \mathbf{x}^{\langle t \rangle}] + \mathbf{b}) \\
\delta a^{\langle t \rangle} = \operatorname{diag}(1 - (\mathbf{h}^{\langle t \rangle})^2) \,
  \partial L/\partial \mathbf{h}^{\langle t \rangle} \\
\partial L / \partial \mathbf{W} = \sum_t \delta a^{\langle t \rangle}
  [\mathbf{h}^{\langle t-1\rangle}; \mathbf{x}^{\langle t \rangle}]^\top
\end{gather}
"""
PRODUCT = RNN.replace(
    r"\end{align}",
    r"\\ \frac{\partial h_t}{\partial h_k} &= \prod_{j=k+1}^{t} \operatorname{diag}(1 - h_j^2) W_{hh} \end{align}",
)


@pytest.mark.parametrize(
    "text, cell", [(RNN, "rnn"), (LSTM, "lstm"), (ROWS, None), (PRODUCT, "rnn")], ids=["rnn", "lstm", "rows", "product"]
)
def test_what_is_right_is_right(text, cell):
    verdict = bptt.check(text, cell=cell)
    assert verdict.correct, str(verdict)


THROUGH = (
    r"\frac{\partial L_t}{\partial h_k} = "
    r"\left(\prod_{j=k+1}^{t} \operatorname{diag}(1-h_j^2) W_{hh}\right)^\top \frac{\partial L_t}{\partial h_t}"
)
AS_ROWS = (
    r"\frac{\partial L_T}{\partial h_t} = "
    r"\frac{\partial L_T}{\partial h_T} \prod_{k=t+1}^{T} \operatorname{diag}(1-h_k^2) W_{hh}"
)
OF_WINDOWS = [
    (THROUGH, r"\right)^\top", r"\right)", "transpose"),
    (THROUGH, "1-h_j^2", "1-h_{j-1}^2", "time"),
    (AS_ROWS, "1-h_k^2", "1-h_k", "power"),
    (AS_ROWS, "k=t+1", "k=t", "window"),
]


@pytest.mark.parametrize("text, right, wrong, kind", OF_WINDOWS)
def test_a_gradient_that_comes_through_a_window_is_judged(text, right, wrong, kind):
    assert bptt.check(text, cell="rnn").correct
    (fault,) = bptt.check(text.replace(right, wrong), cell="rnn").faults
    assert fault.kind == kind and fault.proof
    assert bptt.check(fault.mended, cell="rnn").correct


def test_concatenation_and_angle_brackets_are_judged():
    verdict = bptt.check(SUPERSCRIPTS)
    assert [(fault.line, fault.kind) for fault in verdict.faults] == [(0, "missing gradient")]
    assert any("taken as given" in note for note in verdict.notes)


FAULTS = [
    (RNN, "rnn", r"W_{hh}^\top", "W_{hh}", "transpose", r"W_{hh}^\top \delta a_{t+1}"),
    (RNN, "rnn", r"h_{t-1}^{\mathsf{T}}", r"h_t^{\mathsf{T}}", "time", r"h_{t-1}^\top"),
    (RNN, "rnn", "1 - h_t^2", "1 - h_t", "power", "h_t^2"),
    (RNN, "rnn", "1 - h_t^2", r"1 - \tanh^2(h_t)", "activated value", "h_t^2"),
    (LSTM, "lstm", r" \circ f_{t+1}", "", "missing factor", "f_{t+1}"),
    (LSTM, "lstm", "c_{t-1}", "c_t", "time", "c_{t-1}"),
    (LSTM, "lstm", r"\tanh(c_t) \circ o_t", r"c_t \circ o_t", "missing activation", r"\tanh(c_t)"),
    (LSTM, "lstm", "(1 - g_t^2)", "g_t (1 - g_t)", "wrong derivative", "g_t^2"),
    (ROWS, None, r"\delta a_t W_h^\top", r"\delta a_t W_h", "transpose", r"W_h^\top"),
]


@pytest.mark.parametrize("text, cell, right, wrong, kind, mended", FAULTS)
def test_a_fault_is_named_and_mended_in_latex(text, cell, right, wrong, kind, mended):
    assert right in text
    verdict = bptt.check(text.replace(right, wrong, 1), cell=cell)
    assert [fault.kind for fault in verdict.faults] == [kind], str(verdict)
    assert mended in verdict.faults[0].mended
    assert verdict.faults[0].proof
    again = read_latex(Source("mended", verdict.faults[0].mended))
    assert len(again.statements) == 1


READ = [
    (r"a_t = b_t \odot c_{t-1}", "b * c_prev"),
    (r"a_t = b_t c_{t-1}", "b * c_prev"),
    (r"a_t = W_{hi}^\intercal b_t", "W_hi.T @ b"),
    (r"a_t = b_t c_t^\top", "b @ c.T"),
    (r"a^{(t)} = b^{(t-1)}", "b_prev"),
    (r"a^{\langle t\rangle} = b^{\langle t+1\rangle}", "b_next"),
    (r"a_t = \tilde{h}_t \cdot \hat{c}_t", "h_tilde * c_hat"),
    (r"a_t = \sigma'(b_t) * \sigma(c_t)", "sigmoid'(b) * sigmoid(c)"),
    (r"a_t = \frac{1}{2} (1 - \tanh^2 b_t)", "1 / 2 * (1 - tanh(b)**2)"),
    (r"a_t = \operatorname{diag}(b_t) W_x c_t", "diag(b) @ W_x @ c"),
    (r"a_t = W [h_{t-1}, x_t]", "W @ concat(h_prev, x)"),
    (r"a_t = -b_t - 2 c_t / d_t", "-b - 2 * c / d"),
    (r"a_t = \delta_t^{f} + \delta_{o,t} + \delta c_t", "delta_f + delta_o + delta_c"),
    (r"a = \sum_{t=1}^{T} b_t \odot c_t", "sum_t(b * c)"),
    (r"a_t = \mathbf{1} - \mathbf{z}_t", "1 - z"),
    (r"a_t = \partial \mathcal{L}/\partial h_t", "dL_dh"),
]


@pytest.mark.parametrize("text, expected", READ)
def test_what_is_read(text, expected):
    (line,) = read_latex(Source("a.tex", text)).statements
    assert spell(line.value) == expected


REFUSED = [
    (r"a_t = b_t \oplus c_t", 1, 11, r"'\oplus'"),
    ("a_t = b_t\n" + r"c_t = \mystery{b_t}", 2, 7, r"'\mystery'"),
    (r"a_t = (b_t + c_t", 1, None, "too early|isn't"),
    (r"a_t = b_t^{\star}", 1, 10, "superscript"),
    (r"a_t = b_{t-2}", 1, 8, "times are"),
    (r"a_t = b_t = ", 1, None, "empty"),
    (r"a_t = \sum_{k} b_t", 1, 7, "sums are over time"),
    (r"a_t = \sum_{j} W b_t", 1, 7, "sums are over time"),
    (r"a_t = \begin{cases} 1 \end{cases}", 1, 7, "cases are"),
    (r"a_t = b_t + \dots", 1, 13, "write them all"),
    (r"a_t = \begin{vmatrix} b_t \end{vmatrix}", 1, 7, "bmatrix"),
    (r"a_t = f'(b_t", 1, None, "too early|isn't"),
    (r"a_t = \tanh", 1, 6, "no argument|without its argument"),
    (r"a_t + b_t = c_t", 1, 1, "left side is one quantity"),
    (r"a_t \mapsto b_t", 1, 1, "no = here"),
    (r"a_t = \delta \partial b_t", 1, 7, "before one quantity"),
]


@pytest.mark.parametrize("text, line, column, message", REFUSED)
def test_what_is_not_known_is_refused_with_its_place(text, line, column, message):
    with pytest.raises(bptt.Error, match="The dialect knows") as caught:
        read_latex(Source("a.tex", text))
    said = str(caught.value)
    assert said.startswith(f"a.tex, line {line}, column {column or ''}")
    assert re.search(message.replace("\\", "\\\\") if message.startswith("'\\") else message, said)
    assert "^" in said


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a_t", r"\odot", "+", "(", ")", "2", r"W^\top", r"\tanh", "^", "_", "{", "}", "-", r"\frac"])
    )
)
def test_any_text_is_read_or_refused(pieces):
    """Nothing else happens, and what is read holds every name that was written."""
    text = "b_t = " + " ".join(pieces)
    try:
        (line,) = read_latex(Source("a.tex", text)).statements
    except bptt.Error:
        return
    assert spell(line.value).count("a") - spell(line.value).count("ta") == pieces.count("a_t")


def test_the_documentation_is_true(capsys, tmp_path, monkeypatch):
    """Every block of docs/check.md prints what stands below it."""
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w*)\n(.*?)```", page, re.DOTALL)
    namespace: dict[str, object] = {}
    for (language, text), (kind, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python":
            exec(text, namespace)
            printed = capsys.readouterr().out
            assert kind == "python" or printed == expected


def test_formulas_for_entries_are_read_as_ones_of_vectors():
    text = r"h_i(t) &= \tanh(\sum_j W_{ij} h_j(t-1)) \\ \delta h_j(t-1) &= \sum_i W_{ij} (1 - h_i(t)^2) \delta h_i(t)"
    verdict = bptt.check(rf"\begin{{align}} {text} \end{{align}}")
    assert verdict.correct and [line.quantity for line in verdict.lines] == ["what step t sends back to h_{t-1}"]
    wrong = text.replace(r"\sum_i W_{ij}", r"\sum_i W_{ji}")
    (fault,) = bptt.check(rf"\begin{{align}} {wrong} \end{{align}}").faults
    assert fault.kind == "transpose"


def test_each_of_several_equations_in_a_row_has_its_own_fault():
    text = r"""\begin{align}
\frac{\partial L}{\partial W_{hh}} &= \sum_t \delta a_t h_t^\top, &
\frac{\partial L}{\partial W_{xh}} &= \sum_t x_t \delta a_t^\top
\end{align}
\[ \frac{\partial h_t}{\partial h_k} = \prod_{j=k+1}^{t} \frac{\partial h_j}{\partial h_{j-1}}
  = \prod_{j=k+1}^{t} \operatorname{diag}(1 - h_{j-1}^2) W_{hh} \]"""
    first, second, third = [fault for fault in bptt.check(text.replace("&\n", "& "), cell="rnn").faults if fault.line]
    assert (first.line, first.kind, second.line, second.kind) == (2, "time", 2, "transpose")
    verdict = bptt.check(text, cell="rnn")
    assert third.kind == "time" and [verdict.is_right(line) for line in verdict.lines] == [False, False, True, False]


def test_a_line_about_one_step_is_named_and_the_others_are_judged():
    text = (Path(__file__).parent / "notes" / "error_of_softmax.tex").read_text("utf-8")
    verdict = bptt.check(
        text.replace(r"\end{align}", r"\\ \frac{\partial E_3}{\partial V} &= (\hat y_3 - y_3) s_3^\top \end{align}")
    )
    assert verdict.correct and len(verdict.unjudged) == 1
    assert "line 11 isn't judged: it speaks of step 3 alone; write it for any t" in verdict.unjudged[0]


@pytest.mark.parametrize(
    "line, why",
    [
        (r"\frac{\partial L}{\partial h_T} = V^\top \frac{\partial L}{\partial o_T}", "the first or last step"),
        (r"\nabla_{h^{(\tau)}} L = V^\top \nabla_{o^{(\tau)}} L", "the first or last step"),
        (r"\left(\nabla_{o_t} L\right)_i = p_i - 1", "the index i isn't understood"),
        (r"\nabla_{h_t} L = \sum_{i=t}^T (W^\top)^{T-i} V^\top \nabla_{o_{T+t-i}} L", "o_{T+t-i} isn't understood"),
    ],
)
def test_a_line_beyond_the_dialect_of_times_leaves_the_others_judged(line, why):
    text = r"h_t = \tanh(W h_{t-1} + U x_t), \quad o_t = V h_t, \quad \delta_t = \nabla_{h_t} L \odot (1 - h_t)"
    verdict = bptt.check(rf"\begin{{align}} {text} \\ {line} \end{{align}}")
    assert [fault.kind for fault in verdict.faults] == ["power"]
    assert why in verdict.unjudged[0]
