"""Backward passes as people write them. The first line of each file says whose they are, and which lines are wrong."""

import re
from pathlib import Path

import pytest

import bptt

FILES = sorted((Path(__file__).parent / "notes").iterdir())


def said(path):
    """Return (cell, whether it is refused, numbers of wrong lines) from a file's first line."""
    first = path.read_text("utf-8").split("\n")[0]
    found = re.fullmatch(r"[%#] (?:(\w+): )?(correct|refused|wrong)((?: \d+)*)", first)
    assert found is not None, first
    return found[1], found[2] == "refused", [int(number) for number in found[3].split()]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_notes_are_judged_as_they_should_be(path):
    cell, refused, wrong = said(path)
    if refused:
        with pytest.raises(bptt.Error, match=path.name):
            bptt.check(path, cell=cell)
        return
    verdict = bptt.check(path, cell=cell)
    assert [fault.line for fault in verdict.faults if fault.line] == wrong, str(verdict)
    assert all(fault.mended and fault.proof for fault in verdict.faults if fault.line), str(verdict)


def test_a_fault_put_into_right_notes_is_found():
    """What raises no alarm is judged all the same: another time, sign or transpose in it is seen."""
    missed = []
    for path in FILES:
        cell, refused, wrong = said(path)
        text = path.read_text("utf-8")
        broken = re.sub(r"(\\odot|\\circ|\*) (\(?1 ?-)", r"\1 2 \1 \2", text, count=1)
        if refused or wrong or broken == text:
            continue
        verdict = bptt.check(broken, cell=cell)
        missed += [path.name] * (verdict.correct and not verdict.unjudged)
    assert not missed


# (file, right, wrong, kind): one fault in notes that are right
PLANTED = [
    ("odyssey_whole.tex", r"\mathbf{p}_i \odot \boldsymbol{\delta}\bar{\mathbf{i}}^{t+1} + ", "", "dropped carry"),
    ("odyssey_whole.tex", r"\mathbf{c}^{t-1} \odot \sigma'", r"\mathbf{c}^{t} \odot \sigma'", "time"),
    ("article_with_macros.tex", r"\diag(1 - \vh_{t+1}^2) W", r"W \diag(1 - \vh_{t+1}^2)", "transpose"),
    ("numbered_memory.tex", r"W_{hf}^T \delta_4", r"W_{hf}^T \delta_5", "wrong adjoint"),
    ("numbered_memory.tex", "c_{t-1}", "c_t", "time"),
    ("rows_quotients.tex", r"W_{hh}^\top", "W_{hh}", "transpose"),
    ("two_columns.tex", r"(1-\alpha)\epsilon_{t+1}", r"\alpha\epsilon_{t+1}", "complement"),
    ("two_columns.tex", r"\delta_t u_t^\top", r"u_t \delta_t^\top", "transpose"),
    ("after_this_step.txt", "* cct * da_next) * it", "* cct * da_next) * ft", "mixed up"),
    ("after_this_step.txt", "dc_next * c_prev + ot", "dc_next * c_prev * ot", "product for sum"),
    ("both_together.txt", "dz[:n]", "dz[n:]", "wrong part"),
    ("both_together.txt", "Wo.T @ dao", "Wi.T @ dao", "wrong weight"),
    ("matlab.txt", "W_hh' * da", "W_hh * da", "transpose"),
    ("typed_quotients.txt", "h_{t-1}^T", "h_t^T", "time"),
    ("typed_deltas.txt", "W_hh^T δ_{t+1}", "W_hh^T δ_t", "time"),
    ("soft_memory.txt", "outer(a, dr)", "outer(dr, a)", "transpose"),
    ("coupled_output.txt", "dc * (1 - f)\n", "dc * f\n", "complement"),
    ("clamped.txt", " * (p > -1)", "", "kink ignored"),
    ("rectified.txt", " * (h > 0)", "", "kink ignored"),
    ("layer_norm.txt", "dz = dy * g", "dz = dy", "missing factor"),
    ("integrated.txt", "U' * dv", "U * dv", "transpose"),
    ("quoted_transposes.txt", "dQ + h_prev * dk'", "dQ + dk * h_prev'", "transpose"),
    ("kept_vector.txt", "dc * (c_prev - g)", "dc * c_prev", "missing term"),
    ("short_quotients.txt", "(c > 0)", "(c < 0)", "sign"),
    ("coupled_output.txt", "D.T @ daf", "D.T * daf", "product"),
    ("integrated.tex", r"(\alpha \odot u_t + \beta)", r"\alpha \odot u_t", "missing term"),
    ("integrated.tex", r"U^T \dd", r"U \dd", "transpose"),
    ("two_real_states.tex", r"\bar p_t + \rho \sin", r"\bar p_t - \rho \sin", "sign"),
    ("leaky_adjoint.tex", r" + (1-\alpha) \lambda_t", "", "missing term"),
    ("layer_below.tex", r"\odot c_{t-1} \odot f_t", r"\odot c_t \odot f_t", "time"),
    ("minimal_rows.tex", r"+ (dG_t U_g^T) \odot H_{t-1}", "", "missing term"),
    ("memory_reader.tex", r"\delta a_t r_t^\top", r"r_t \delta a_t^\top", "transpose"),
    ("skip_connection.tex", "_{t-1}} = I + W", "_{t-1}} = W", "missing term"),
    ("skip_connection.tex", r"V\right)^\top", r"V\right)", "transpose"),
    ("skip_connection.tex", "1-s_j^2", "1-s_j", "power"),
    ("declared_cell.txt", "Aᵀ ε_{t+1}", "A ε_{t+1}", "transpose"),
    ("decayed_matrix.txt", "lam * dS", "dS", "missing factor"),
    ("leak_is_number.tex", r"(1-\alpha)\delta_{t+1}", r"\delta_{t+1}", "missing factor"),
    ("targets_outside.tex", r"W_{hh}^{\mathsf T} \delta_{t+1}", r"W_{hh} \delta_{t+1}", "transpose"),
    ("low_rank.tex", r"N M^\top", r"M N^\top", "transpose"),
    ("short_quotients.txt", "sum_t outer(dLdzc, h_prev)", "outer(dLdzc, h_prev)", "sum missing"),
    ("exam_softmax.tex", r"V^\top \nabla_{o_t} L", r"V \nabla_{o_t} L", "transpose"),
    ("exam_softmax.tex", r"\operatorname{diag}(1 - h_{t+1}^2)", r"\operatorname{diag}(1 - h_t^2)", "time"),
    ("exam_softmax.tex", r"L &= \sum_t \operatorname{diag}(1 - h_t^2)", r"L &= \sum_t", "missing derivative"),
    ("coupled_in_words.tex", r"(c_{t-1} - \tilde c_t)", "c_{t-1}", "missing term"),
    ("coupled_in_words.tex", r"(1 - \tilde c_t^2)", r"\tilde c_t \odot (1 - \tilde c_t)", "wrong derivative"),
    ("rows_of_a_book.tex", r"(H_{t-1} - \tilde H_t)", r"(\tilde H_t - H_{t-1})", "sign"),
    ("rows_of_a_book.tex", r"(R_t \odot H_{t-1})^\top", r"H_{t-1}^\top", "missing factor"),
    ("rows_of_a_book.tex", r"\delta^z_t W_{hz}^\top", r"W_{hz}^\top \delta^z_t", "transpose"),
    ("time_in_brackets.tex", "(1 - a) e(t) + W^T d(t)", "e(t) + W^T d(t)", "missing factor"),
    ("time_in_brackets.tex", "d(t) x(t-1)^T", "d(t) x(t)^T", "time"),
    ("residual_number.tex", "} = I + ", "} = ", "missing term"),
    ("residual_number.tex", r"= \epsilon \sum_t", r"= \sum_t", "missing factor"),
    ("epsilons_peephole.tex", r" + w_{co} \odot \delta^o_t", "", "missing term"),
    ("epsilons_peephole.tex", r"f_{t+1} \odot \epsilon^c", r"f_t \odot \epsilon^c", "time"),
    ("minimal_plain.txt", " + dfh * h_prev", "", "missing term"),
    ("minimal_plain.txt", "outer(dpre_h, f * h_prev)", "outer(dpre_h, h_prev)", "missing factor"),
    ("highway_semicolons.txt", "(cand - s_prev)", "(cand - s)", "time"),
    ("highway_semicolons.txt", "ds * (1 - T_gate) +", "ds * T_gate +", "complement"),
    ("layers_in_superscripts.tex", r"W_2^\top \delta^{(2)}_t", r"W_2^\top \delta^{(2)}_{t+1}", "time"),
    ("layers_in_superscripts.tex", r"h^{(1)\top}_{t-1}", r"h^{(1)\top}_t", "time"),
    ("fed_back_output.tex", r"h_t \odot (1 - h_t)", "(1 - h_t^2)", "wrong derivative"),
    ("fed_back_output.tex", r"\delta_t y_{t-1}^\top", r"\delta_t y_t^\top", "time"),
    ("epsilons_displayed.tex", r"\delta^f_{t+1}", r"\delta^f_t", "time"),
    ("epsilons_displayed.tex", r"w_{ci}\odot \delta^i_{t+1} + ", "", "dropped carry"),
    ("epsilons_displayed.tex", r"\epsilon^c_t \odot \tanh", r"\epsilon^c_t \odot \sigma", "wrong function"),
    ("error_of_softmax.tex", r"V^\top e_t", "V e_t", "transpose"),
    ("error_of_softmax.tex", r"x_t^\top", "x_t", "transpose"),
    ("error_of_softmax.tex", r"s_{t-1}^\top \\", r"s_t^\top \\", "time"),
    ("targets_in_lines.tex", r"(\hat{y}_t - y_t) s_t^\top", r"(\hat{y}_t - y_t) s_{t-1}^\top", "time"),
    ("targets_in_lines.tex", r"V^\top (\hat y_t", r"V (\hat y_t", "transpose"),
    ("squared_error.tex", r" \odot \hat y_t \odot (1 - \hat y_t)", r" \odot (1 - \hat y_t)", "missing factor"),
    ("nablas_with_last_step.tex", r"+ \boldsymbol{V}^\top", r"+ \boldsymbol{V}", "transpose"),
    ("nablas_with_last_step.tex", r"\boldsymbol{h}^{(t-1)\top}", r"\boldsymbol{h}^{(t)\top}", "time"),
    ("powers_beside_recursion.tex", r"\mathbf{h}_{t-1}^\top", r"\mathbf{h}_t^\top", "time"),
    ("damped_sine.tex", r" + \bar r_t \odot h_{t-1}", "", "missing term"),
    ("damped_sine.tex", r"- h_{t-1} \odot \exp", r"+ h_{t-1} \odot \exp", "sign"),
    ("forward_in_words.tex", r"W_{hy}^\top e_t", "W_{hy} e_t", "transpose"),
    ("forward_in_words.tex", r"(1 - h_t \odot h_t)", "(1 - h_t)", "power"),
    ("gradients_restated.tex", r"\hat{y}^{(t)} - y^{(t)}", r"y^{(t)} - \hat{y}^{(t)}", "sign"),
    ("gradients_restated.tex", r"= W^\top", "= W", "transpose"),
    ("gradients_restated.tex", r"h^{(t-1)\top} \\", r"h^{(t)\top} \\", "time"),
    ("star_for_all.tex", r"y^t\rangle", r"y^{t+1}\rangle", "time"),
    ("headings_alone.txt", "f_{t+1}", "f_t", "time"),
    ("deltas_in_sentences.tex", r"\epsilon_t z_t^{\mathrm T}", r"z_t\epsilon_t^{\mathrm T}", "transpose"),
    ("deltas_in_sentences.tex", r"\delta_t z_{t-1}", r"\delta_t z_t", "time"),
    ("differential_of_loss.tex", r"W^\top\delta_{t+1}", r"W^\top\delta_t", "time"),
    ("differential_of_loss.tex", r"\delta_t h_{t-1}^\top", r"\delta_{t-1} h_{t-1}^\top", "time"),
    ("next_step_jacobian.tex", "1 - h_{t+1}^2", "1 - h_{t}^2", "time"),
    ("next_step_jacobian.tex", "(z_t - y_t)", "-(z_t - y_t)", "sign"),
    ("product_at_least.tex", r"W_{rec}\, \mathrm", r"W_{rec}^\top \mathrm", "transpose"),
    ("negative_error.tex", r"- C^\top e_t", r"+ C^\top e_t", "sign"),
    ("language_model.tex", r"\hat y^{(t)} - y^{(t)}", r"y^{(t)} - \hat y^{(t)}", "sign"),
    ("language_model.tex", r"\odot (1 - h^{(t)})", r"\odot (1 - (h^{(t)})^2)", "power"),
    ("arrow_state.tex", r"U^\top", "U", "transpose"),
    ("typed_softmax.txt", "p - target", "target - p", "sign"),
    ("readout_of_no_cell.txt", "M.T @ dlogits", "M @ dlogits", "transpose"),
    ("readout_of_no_cell.txt", "outer(dlogits, h)", "outer(dlogits, h_prev)", "time"),
    ("readout_of_no_cell.txt", "dm += dlogits\n", "dm += 2 * dlogits\n", "scale"),
    ("softmax_of_product.tex", r"\varepsilon_t \otimes u_t", r"\varepsilon_t \otimes u_{t-1}", "time"),
    ("softmax_of_product.tex", r"R^\top", "R", "transpose"),
    ("entries_beside_outer.tex", r"\bar s_t x_t^\top", r"\bar s_t x_{t-1}^\top", "time"),
    ("entries_beside_outer.tex", r"\bar s_{t+1} s_t^\top", r"\bar s_{t+1} s_{t+1}^\top", "time"),
    ("stars_explained.tex", r"R_\star^\top \delta", r"R_\star \delta", "transpose"),
    ("steps_with_rate.tex", r"\mathbf{A}^\top", r"\mathbf{A}", "transpose"),
    ("steps_with_rate.tex", r"\mathbf{r}^{(t-1)\top} \\", r"\mathbf{r}^{(t)\top} \\", "time"),
    ("diagonal_of_slopes.tex", r"A^\top D_{t+1}", r"A D_{t+1}", "transpose"),
    ("diagonal_of_slopes.tex", r"D_t \nabla_{s_t}\mathcal{L}\, s", r"\nabla_{s_t}\mathcal{L}\, s", "kink ignored"),
    ("running_variables.txt", "mem = dc * f\n", "mem = dc * i\n", "mixed up"),
    ("running_variables.txt", "W_hf.T @ daf + ", "", "missing term"),
    ("running_variables.txt", "dh = dh_out + dh_run", "dh = dh_out", "dropped carry"),
    ("carry_in_script.tex", r"A^T\cdot", r"A\cdot", "transpose"),
    ("squashed_twice.tex", r"\odot y_t\odot(1-y_t)", r"\odot (1-y_t^2)", "wrong derivative"),
    ("time_in_square_brackets.tex", "(1-h[t+1]^2)", "(1-h[t]^2)", "time"),
    ("numerator_layout.tex", r"r_{t-1}^\top", r"r_t^\top", "time"),
    ("numerator_layout.tex", r"r_{t+1}^2) P", r"r_{t+1}^2) P^\top", "transpose"),
    ("entries_of_layers.tex", r"\delta_k(t) s_j(t)", r"\delta_k(t) s_j(t-1)", "time"),
    ("entries_of_layers.tex", r"u_{hj}\delta_h", r"u_{jh}\delta_h", "transpose"),
    ("entries_of_gates.tex", r"\sum_j r_{jk}\,\alpha_j^{t+1}", r"\sum_j r_{jk}\,\alpha_j^{t}", "time"),
    ("entries_of_gates.tex", r"\sum_j q_{jk}", r"\sum_j q_{kj}", "transpose"),
    ("entries_of_gates.tex", r"\alpha_j^t b_k^{t-1}", r"\alpha_k^t b_j^{t-1}", "transpose"),
    ("entries_of_gates.tex", r"(1-\tanh^2(z_j^t))", r"(1-\tanh(z_j^t))", "power"),
    ("delta_of_state_typed.txt", "W^T (δ_t", "W (δ_t", "transpose"),
    ("quoted_code.md", "dz = a * dh", "dz = dh", "missing factor"),
    ("quoted_code.md", "(1 - a) * dh +", "dh +", "missing factor"),
    ("diagonal_of_argument.tex", r"W^\top D_{t+1}", r"D_{t+1} W^\top", "transpose"),
    ("loss_at_the_end.txt", "W_hh.T @ da", "W_hh @ da", "transpose"),
    ("ones_of_a_batch.tex", r"\bar Z_{t+1} R^\top", r"\bar Z_{t+1} R", "transpose"),
    ("ones_of_a_batch.tex", r"H_{t-1}^\top \bar Z_t", r"H_t^\top \bar Z_t", "time"),
    ("nabla_at_step_before.tex", r"u_t \lambda_t +", "", "missing term"),
    ("nabla_at_step_before.tex", r"C^T \nu_t", r"C \nu_t", "transpose"),
    ("deltas_of_arguments.tex", r"\boldsymbol\delta^{h}_{t+1}", r"\boldsymbol\delta^{h}_{t}", "time"),
    ("deltas_of_arguments.tex", r"\mathbf U^\top", r"\mathbf U", "transpose"),
    ("words_in_rows.tex", r"W_{hh}.\\", r"W_{hh}^T.\\", "transpose"),
    ("hatted_deltas.tex", r"\hat\delta k_t v_t", r"\delta k_t v_t", "wrong adjoint"),
    ("hatted_deltas.tex", r"(h_{t-1} - p_t)", r"(h_t - p_t)", "time"),
    ("minus_one_below.md", "(h₋₁ − n)", "(h − n)", "time"),
    ("minus_one_below.md", "Mᵀ (s ⊙ dan)", "Mᵀ dan", "missing factor"),
    ("stars_explained.tex", r"(m^{t-1} - v^t)", r"(m^t - v^t)", "time"),
]


@pytest.mark.parametrize(("name", "right", "wrong", "kind"), PLANTED)
def test_a_planted_fault_is_placed_named_and_mended(name, right, wrong, kind):
    path = Path(__file__).parent / "notes" / name
    text, cell = path.read_text("utf-8"), said(path)[0]
    assert right in text
    (fault,) = bptt.check(text.replace(right, wrong, 1), cell=cell).faults
    assert (fault.line, fault.kind) == (text[: text.index(right)].count("\n") + 1, kind)
    assert fault.mended and fault.proof


MENDED = [  # as the line is written, where that is one way among several
    ("minimal_plain.txt", "(ht - h_prev)", "(h_prev - ht)", "df = dh * (ht - h_prev) + dfh * h_prev"),
    ("rows_of_a_book.tex", r"(R_t \odot H_{t-1})^\top", r"H_{t-1}^\top", r"\sum_t (R_t \odot H_{t-1})^\top \delta^h_t"),
    ("rows_of_a_book.tex", r"\delta^z_t W_{hz}^\top", r"W_{hz}^\top \delta^z_t", r" + \delta^z_t W_{hz}^\top + "),
    ("layers_in_superscripts.tex", "h^{(1)\\top}_{t-1}", "h^{(1)\\top}_t", r"\delta^{(1)}_t (h^{(1)}_{t-1})^\top"),
    ("steps_with_rate.tex", "{(t-1)\\top} \\\\", "{(t)\\top} \\\\", r"= -\eta \sum_t \boldsymbol{\delta}^{(t)}"),
    (
        "entries_of_layers.tex",
        "_j(t)\\\\\n\\frac{\\partial E}{\\partial v",
        "_j(t-1)\\\\\n\\frac{\\partial E}{\\partial v",
        "W}",
    ),
    ("next_step_jacobian.tex", "1 - h_{t+1}^2", "1 - h_{t}^2", r"\frac{\partial h_{t+1}}{\partial h_t} = "),
    ("product_at_least.tex", r"W_{rec}\, \mathrm", r"W_{rec}^\top \mathrm", r"\prod_{t\ge i>k} W_{rec}"),
    ("deltas_in_sentences.tex", r"\delta_t z_{t-1}", r"\delta_t z_t", r"\frac{\partial E}{\partial V} = "),
]


@pytest.mark.parametrize(("name", "right", "wrong", "mended"), MENDED)
def test_a_mended_line_is_written_as_people_would(name, right, wrong, mended):
    text = (Path(__file__).parent / "notes" / name).read_text("utf-8")
    assert right in text
    (fault,) = bptt.check(text.replace(right, wrong, 1)).faults
    assert mended in fault.mended


RIGHT = [  # likewise right, and judged
    ("gradients_restated.tex", "$L =", "to be maximised, $L =", r"\hat{y}^{(t)} - y^{(t)}", r"y^{(t)} - \hat{y}^{(t)}"),
]


@pytest.mark.parametrize(("name", "where", "said", "of", "instead"), RIGHT)
def test_of_a_likelihood_the_other_sign_is_right(name, where, said, of, instead):
    text = (Path(__file__).parent / "notes" / name).read_text("utf-8")
    assert bptt.check(text.replace(where, said).replace(of, instead)).correct
    assert not bptt.check(text.replace(of, instead)).correct


def test_the_part_of_a_chain_that_can_be_judged_is():
    text = (Path(__file__).parent / "notes" / "gradients_restated.tex").read_text("utf-8")
    whole = r"= \sum_t \nabla_{o^{(t)}} L \\"
    assert whole in text
    (fault,) = bptt.check(text.replace(whole, r"= \sum_t V \nabla_{o^{(t)}} L \\")).faults
    assert fault.line == text[: text.index(whole)].count("\n") + 1


def test_what_is_a_number_is_said():
    text = (Path(__file__).parent / "notes" / "residual_number.tex").read_text("utf-8")
    assert r"\epsilon is a number." in bptt.check(text).conventions


def test_missing_lines_are_written_as_the_others_are():
    text = (Path(__file__).parent / "notes" / "minimal_rows.tex").read_text("utf-8")
    verdict = bptt.check(text.replace(r"$$ db_f = \sum_t dF_t, \quad dW_g = \sum_t X_t^T dG_t $$", ""))
    assert [fault.mended for fault in verdict.faults] == [r"db_f = \sum_t dF_t", r"dW_g = \sum_t X_t^\top dG_t"]
    assert {fault.where for fault in verdict.faults} == {"a line is missing"}


def test_values_that_the_text_does_not_name_are_said():
    text = (Path(__file__).parent / "notes" / "minimal_rows.tex").read_text("utf-8")
    here = next(sentence for sentence in bptt.check(text).conventions if sentence.startswith("Here"))
    assert r"a_F = X_t W_f + H_{t-1} U_f + b_f" in here


def test_a_readout_that_the_cell_lacks_is_named_and_asked_for_no_gradient():
    text = (Path(__file__).parent / "notes" / "readout_of_no_cell.txt").read_text("utf-8")
    verdict = bptt.check(re.sub(r"d[Mm] \+= .*\n", "", text), cell="rnn")
    assert verdict.correct, str(verdict)
    assert "dlogits is taken as the gradient at a readout, M h, which rnn hasn't" in verdict.notes
    assert "no gradient of M is given: taken as constant" in verdict.notes


def test_an_adjoint_that_is_carried_back_through_an_argument_is_no_gap():
    text = (Path(__file__).parent / "notes" / "softmax_of_product.tex").read_text("utf-8")
    assert not [note for note in bptt.check(text).notes if "is taken as given: no line says" in note]


def test_a_line_that_is_not_judged_bears_no_mark():
    verdict = bptt.check("dh_prev = W_hh.T @ (dh * (1 - h**2))\nspare = 2 * h\n", cell="rnn")
    assert [line.text for line in verdict.lines] == ["dh_prev = W_hh.T @ (dh * (1 - h**2))"]
    assert len(verdict.unjudged) == 1


@pytest.mark.parametrize(
    ("right", "wrong"), [(r"x^t \rangle", r"y^t \rangle"), (r"b_\star &= \sum_t", r"b_\star &= -\sum_t")]
)
def test_a_fault_in_a_line_for_each_label_is_found_for_each(right, wrong):
    text = (Path(__file__).parent / "notes" / "stars_explained.tex").read_text("utf-8")
    assert right in text
    line = text[: text.index(right)].count("\n") + 1
    assert [fault.line for fault in bptt.check(text.replace(right, wrong, 1)).faults] == [line, line]


def test_what_has_no_equation_is_said_to_be_an_input():
    text = "h_{t} = \\tanh(W h_{t-1} + x_t / s_t) \n \\delta h_{t-1} = W^\\top (\\delta h_t \\odot (1 - h_t^2))"
    said = bptt.check(text).conventions
    assert "x_t and s_t have no equation: they are taken as inputs." in said


def test_what_makes_no_product_of_a_matrix_and_a_vector_is_not_judged():
    text = (Path(__file__).parent / "notes" / "entries_of_layers.tex").read_text("utf-8")
    odd = text.replace(r"\delta_k(t) s_j(t)\\", r"\delta_k(t) s_j(t) w_{kj}\\")
    verdict = bptt.check(odd)
    assert odd != text and len(verdict.unjudged) == 1 and "no products of vectors and matrices" in verdict.unjudged[0]
    assert "the indices h, i, j, k are of entries, and read as vectors and matrices" in verdict.notes


def test_a_gradient_at_an_output_has_no_part_from_the_next_step():
    text = (Path(__file__).parent / "notes" / "diagonal_of_argument.tex").read_text("utf-8")
    (line,) = [line for line in bptt.check(text).lines if line.text.startswith("g_t =")]
    assert (line.quantity, line.why) == ("∂L/∂y_t", "")


def test_a_variable_goes_from_step_to_step_only_where_more_is_right_so():
    (fault,) = bptt.check("da = dh * (1 - h**2)\ndh = dh_out + W_hh.T @ da\n", cell="rnn").faults
    assert (fault.line, fault.kind) == (2, "time")
    verdict = bptt.check("da = dh * (1 - h**2)\ndh = W_hh.T @ da\n", cell="rnn")
    assert verdict.correct
    assert "dh is ∂L/∂h_t where it is read: the loss reads the last step alone." in verdict.conventions


def test_a_forward_pass_with_an_argument_of_its_own_is_told_from_cells_with_the_same_names():
    text = (Path(__file__).parent / "notes" / "words_in_rows.tex").read_text("utf-8")
    assert bptt.check(text).conventions[0] == "The forward pass is that of rnn."
