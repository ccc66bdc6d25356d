"""Programs as strangers write them: every calling convention is found out and said, and a fault in it is mended."""

from pathlib import Path

import pytest

from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge

STRANGERS = Path(__file__).parent / "theirs" / "strangers"
OWN = "a cell of its own"
SAID = {
    "accumulators.py": (OWN, "Sequences are (T, B, features)."),
    "alias_tape.py": (OWN, "Sequences are (T, B, features)."),
    "bias_row_lstm.py": (OWN, "Loss gradients come in at every step and at the last step."),
    "bidirectional_dicts.py": (OWN, "Loss gradients come in at the outputs of every step."),
    "cache_dict_mgu.py": ("mgu", "Sequences are (B, T, features)."),
    "char_rnn_class.py": (OWN, "The loss is computed inside, from targets."),
    "closures.py": ("rnn", "Sequences are (T, B, features)."),
    "coupled_gate_own.py": (OWN, "Sequences are (B, T, features)."),
    "course_cells.py": ("rnn", "Sequences are (features, B, T)."),
    "dict_lists_functions.py": (OWN, "One sequence at a time, (T, features)."),
    "einsum_memory.py": (OWN, "Sequences are (T, B, features)."),
    "fast_weights.py": (OWN, "One sequence at a time, (T, features)."),
    "features_first_lstm.py": ("lstm", "Wf, Wi, Wg and Wo multiply [h; x]."),
    "function_static.py": ("rnn", "Weights are (outputs, inputs), as in W @ x."),
    "gru_after_two_biases.py": ("gru_reset_after", "b_ih and b_hh are added up."),
    "gru_one_minus.py": ("gru", "Sequences are lists over time of column vectors (features, 1)."),
    "inner_loop_class.py": ("rnn", "The loss is computed inside, from targets: the cross-entropy of a softmax."),
    "karpathy_loss.py": ("rnn", "One sequence at a time. Inputs are indices, read as one-hot vectors."),
    "integrated_einsum.py": (OWN, "Sequences are (B, T, features)."),
    "mgu_steps_columns.py": ("mgu", "Sequences are lists over time of column vectors (features, 1)."),
    "keyword_gradients.py": (OWN, "Sequences are (T, B, features)."),
    "keyword_gru.py": ("gru", "The gates are stacked in the order z, r, h_tilde in kernel, recurrent, bias."),
    "last_output_class.py": ("rnn", "Loss gradients come in at the output."),
    "leaky_relu_loss.py": (OWN, "One sequence at a time. Inputs are indices, read as one-hot vectors."),
    "layer_norm_gates.py": (OWN, "Sequences are (T, B, features)."),
    "layer_objects.py": (OWN, "Sequences are (T, B, features)."),
    "list_of_dicts.py": (OWN, "One sequence at a time, (T, features)."),
    "layer_norm_rnn.py": (OWN, "Sequences are (B, T, features)."),
    "learned_leak.py": (OWN, "One sequence at a time, (T, features)."),
    "lists_in_dictionary.py": (OWN, "One sequence at a time, (T, features)."),
    "lists_of_layers.py": (OWN, "One sequence at a time, (T, features)."),
    "logistic_map.py": (OWN, "Loss gradients come in at every step."),
    "logistic_tape.py": (OWN, "Loss gradients come in at every step."),
    "lstm_class_attrs.py": ("lstm", "The gates are stacked in the order f, i, g, o in W, b."),
    "lstm_params_dict_full.py": ("lstm", "Sequences are (B, T, features)."),
    "mingru.py": ("min_gru", "Sequences are (T, B, features)."),
    "multiplicative_einsum.py": (OWN, "Sequences are (T, B, features)."),
    "njit_rnn.py": (OWN, "One sequence at a time, (T, features)."),
    "of_gates.py": ("lstm", "Sequences are (T, B, features)."),
    "only_states.py": ("rnn", "Weights are (inputs, outputs), as in x @ W."),
    "oscillators_class.py": (OWN, "Sequences are (B, T, features)."),
    "own_cell.py": (OWN, "Sequences are (T, B, features)."),
    "params_object.py": ("gru", "z and 1 − z have changed places against the usual gru."),
    "peephole_columns.py": ("lstm_peephole", "Sequences are lists over time of column vectors (features, 1)."),
    "plain_rnn_caches.py": ("rnn", "Sequences are (T, B, features)."),
    "plain_rnn_dict.py": ("rnn", "Sequences are (T, B, features)."),
    "plain_rnn_list.py": ("rnn", "Sequences are (T, B, features)."),
    "residual_bias_c.py": (OWN, "Sequences are (T, B, features)."),
    "running_maximum.py": (OWN, "One sequence at a time, (T, features)."),
    "random_source.py": (OWN, "Loss gradients come in at every step."),
    "rnn_mse_loss.py": ("rnn", "The loss is computed inside, from targets: a squared error."),
    "seq2seq_dataclasses.py": (OWN, "Loss gradients come in at the outputs of every step."),
    "seven_arrays.py": (OWN, "Loss gradients come in at the outputs of every step."),
    "sru_whole.py": (OWN, "Sequences are (T, B, features)."),
    "state_pair_lstm.py": ("lstm", "bias_ih and bias_hh are added up."),
    "step_only.py": ("lstm", "A single step, (B, features)."),
    "time_layers.py": ("rnn", "h starts from 0."),
    "tokens_global.py": ("rnn", "One sequence at a time. Inputs are indices, read as one-hot vectors."),
    "two_sizes.py": (OWN, "Loss gradients come in at every step."),
    "slow_state.py": (OWN, "Sequences are (T, B, features)."),
    "gru_loss_columns.py": ("gru", "One sequence at a time. Inputs are indices, read as one-hot vectors."),
    "embedding_class.py": (OWN, "Sequences are (B, T). Inputs are indices, read as one-hot vectors."),
    "njit_diagonal.py": (OWN, "One sequence at a time, (T, features)."),
    "padded_gru.py": (OWN, "Sequences are (B, T, features)."),
    "unpacked_loss.py": ("rnn", "One sequence at a time. Inputs are indices, read as one-hot vectors."),
    "peephole_while.py": ("lstm_peephole", "Sequences are (B, T, features)."),
    "jordan_class.py": (OWN, "The loss is computed inside, from targets."),
    "gru_classifier.py": (OWN, "Sequences are (B, T). Inputs are indices, read as one-hot vectors."),
    "leaky_reservoir.py": (OWN, "Loss gradients come in at the outputs of every step."),
    "projected_lstm.py": (OWN, "Sequences are (T, B, features)."),
    "attends_past.py": (OWN, "One sequence at a time, (T, features)."),
    "clockwork_class.py": (OWN, "One sequence at a time, (T, features)."),
    "independent_layers.py": (OWN, "Sequences are (B, T, features)."),
    "linear_memory.py": (OWN, "Sequences are (T, B, features)."),
    "factored_class.py": (OWN, "One sequence at a time, (T, features)."),
    "truncated_tutorial.py": (OWN, "One sequence at a time. Inputs are indices, read as one-hot vectors."),
    "zipped_reversed.py": ("rnn", "Loss gradients come in at the last step."),
    "called_tensordot.py": ("minimal_rnn", "Sequences are (B, T, features)."),
    "hinge_whole.py": (OWN, "The loss is computed inside, from targets."),
    "bilstm_ones.py": (OWN, "Sequences are (T, B, features)."),
    "loss_apart.py": (OWN, "The loss is computed inside, from targets."),
    "number_series.py": (OWN, "One sequence of numbers, (T,)."),
}
FAULTS = [
    ("accumulators.py", "dbx, dbh = np.zeros(len(bx)), np.zeros(len(bh))", "dbx = dbh = np.zeros(len(bx))", "aliasing"),
    ("alias_tape.py", "tape.append(h.copy())", "tape.append(h)", "aliasing"),
    ("cache_dict_mgu.py", "(f * hp).T", "hp.T", "mix-up"),
    ("cache_dict_mgu.py", "dh * (c - hp) + dfh * hp", "dh * (c - hp)", "missing path"),
    ("char_rnn_class.py", "carry = self.W.T @ da", "carry = self.W @ da", "transpose"),
    ("closures.py", "hs[t].T @ da", "hs[t + 1].T @ da", "time"),
    ("coupled_gate_own.py", "(h - np.sin(u))", "h - np.sin(u)", "parentheses"),
    ("course_cells.py", "dtanh = (1 - a_next**2) * da_next", "dtanh = 1 - a_next**2", "factor"),
    ("fast_weights.py", "dA = LAM * dA_new", "dA = dA_new", "factor"),
    ("features_first_lstm.py", "dh * th * y", "dh * c_new * y", "activation"),
    ("gru_after_two_biases.py", "[g_r, g_z, g_n * r]", "[g_r, g_z, g_n]", "factor"),
    ("integrated_einsum.py", "e * (alpha * u + beta2)", "e * (alpha * u)", "missing path"),
    ("mgu_steps_columns.py", "(dh * (k - h) + dfh[:n] * h)", "(dh * (k - h))", "missing path"),
    ("karpathy_loss.py", "np.dot(Why.T, dy) + dhnext", "np.dot(Why.T, dy)", "dropped carry"),
    ("keyword_gradients.py", "(f * h).T @ dac", "h.T @ dac", "factor"),
    ("keyword_gradients.py", "dfh * f + daf @ Uf.T", "daf @ Uf.T", "missing path"),
    ("keyword_gru.py", "dh * (h - hh)", "dh * (hh - h)", "sign"),
    ("layer_norm_rnn.py", "dxhat = dout * g", "dxhat = dout", "factor"),
    ("layer_norm_rnn.py", "da = inv * (dxhat", "da = (dxhat", "factor"),
    ("learned_leak.py", "(np.maximum(pre, 0) - h))", "np.maximum(pre, 0))", "missing path"),
    ("learned_leak.py", "dpre = alpha * dh_new", "dpre = dh_new", "factor"),
    ("logistic_map.py", "dxs[t] + dx", "dxs[t]", "accumulation"),
    ("logistic_tape.py", "(1 - 2 * xs[t])", "(1 - xs[t])", "factor"),
    ("lstm_class_attrs.py", "dh * o * (1 - tc * tc) + dc_next", "dh * o * (1 - tc * tc)", "dropped carry"),
    ("multiplicative_einsum.py", "np.cosh(u * v) ** 2", "np.cosh(u * v)", "activation"),
    ("multiplicative_einsum.py", "s * v, s * u", "s * u, s * v", "mix-up"),
    ("of_gates.py", "dc = dc * f", "dc = dc * i", "mix-up"),
    ("oscillators_class.py", "(1 - self.dt * self.eps)", "(1 - self.eps)", "factor"),
    ("oscillators_class.py", "dy - self.dt * self.gamma * dz + da", "dy + da", "missing path"),
    ("own_cell.py", "dq = -0.3 * dh", "dq = 0.3 * dh", "sign"),
    ("params_object.py", "np.outer(dan, r * hp)", "np.outer(dan, hp)", "mix-up"),
    ("residual_bias_c.py", "dh * gamma * (1", "dh * (1", "factor"),
    ("running_maximum.py", "dtop * (a >= keep)", "dtop * (b >= keep)", "mix-up"),  # two probes don't show it
    ("running_maximum.py", "dcn = dcn * f", "dcn = f", "factor"),
    ("running_maximum.py", "np.sum(dcn * c) + dnn * n", "np.sum(dcn * c)", "missing path"),
    ("running_maximum.py", "dz = dcn * i", "dz = np.zeros_like(z)", "missing path"),
    ("running_maximum.py", "dpre = dz * (1 - z**2)", "dz = dcn\n        dpre = dz * (1 - z**2)", "mix-up"),
    ("sru_whole.py", "(before - u[t])", "(c[t] - u[t])", "mix-up"),
    ("state_pair_lstm.py", "do * o * (1 - o)])", "do * (1 - o ** 2)])", "activation"),
    ("time_layers.py", "np.dot(h_prev.T, dt)", "np.dot(h_next.T, dt)", "time"),
    ("padded_gru.py", "dh * (1 - m) + dnew", "dnew", "missing path"),
    ("attends_past.py", "(galpha - alphas[t] @ galpha)", "galpha", "activation"),
    ("unpacked_loss.py", "hs[t - 1].T", "hs[t].T", "time"),
    ("two_sizes.py", 'dp = dpprev + params["W_pd"].T @ dd', "dp = dpprev", "missing path"),
    ("two_sizes.py", "dg = dp * (q - p)", "dg = dp * (p - q)", "sign"),
    ("slow_state.py", "dq = alpha * ds", "dq = ds", "factor"),
    ("slow_state.py", "ds = (1 - alpha) * ds + da @ V.T", "ds = da @ V.T", "missing path"),
    ("gru_loss_columns.py", "dc = dh * zs[t]", "dc = dh * (1 - zs[t])", "factor"),
    ("embedding_class.py", "dz = dh * (h - k)", "dz = dh * (k - h)", "sign"),
    ("embedding_class.py", "dh = dh * z + drh * r + dzr", "dh = dh * z + drh + dzr", "factor"),
    ("njit_diagonal.py", "- dh * u * a / s", "+ dh * u * a / s", "sign"),
    ("lists_of_layers.py", "np.outer(da, self.h[l, t])", "np.outer(da, self.h[l, t + 1])", "time"),
    ("lists_of_layers.py", "self.R[l].T @ da", "self.R[l] @ da", "transpose"),
    ("lists_of_layers.py", "self.W[l].T @ da", "self.R[l].T @ da", "mix-up"),
    ("lists_of_layers.py", "(up + dh[l])", "up", "missing path"),
    ("layer_objects.py", "o * (1 - tc**2)", "o * (1 - tc)", "activation"),
    ("layer_objects.py", "dc = dc * f", "dc = dc * i", "mix-up"),
    ("list_of_dicts.py", "(dh[l] + up)", "up", "missing path"),
    ("list_of_dicts.py", 'layer["W"].T @ da', 'layer["R"].T @ da', "mix-up"),
    ("dict_lists_functions.py", "(1 - h[l, t + 1] ** 2)", "(1 - h[l, t + 1])", "activation"),
    ("bidirectional_dicts.py", "dboth[::-1, :, H:]", "dboth[:, :, H:]", "time"),
    ("bidirectional_dicts.py", "dxf + dxb[::-1]", "dxf + dxb", "time"),
    ("seq2seq_dataclasses.py", "dh = cell.Wh @ da", "dh = cell.Wh.T @ da", "transpose"),
    ("layer_norm_gates.py", "- dahat.mean(axis=-1, keepdims=True) ", "", "missing path"),
    ("einsum_memory.py", "dS, v) * (1 - k**2)", "dS, v)", "activation"),
    ("einsum_memory.py", '"bij,bi->bj", dS', '"bij,bj->bi", dS', "axis or index"),
    ("seven_arrays.py", "da @ self.U.T + da * self.p", "da @ self.U.T", "missing path"),
    ("lists_in_dictionary.py", "(1 - self.h[l, t + 1] ** 2)", "(1 - self.h[l, t + 1])", "activation"),
    ("peephole_while.py", " + p['po'] * dobar", "", "missing path"),
    ("peephole_while.py", "dibar * c_prev, axis", "dibar * c, axis", "time"),
    ("jordan_class.py", "- targets[k] + dy_next", "- targets[k]", "dropped carry"),
    ("jordan_class.py", "* (1 - self.hs[k] ** 2)", "* self.hs[k] * (1 - self.hs[k])", "activation"),
    ("gru_classifier.py", "(h - n) * z * (1 - z)", "(n - h) * z * (1 - z)", "sign"),
    (
        "gru_classifier.py",
        "np.add.at(g['E'], self.tokens[:, t], da @ self.Wx.T)",
        "g['E'][self.tokens[:, t]] += da @ self.Wx.T",
        "accumulation",
    ),
    ("gru_classifier.py", "(r * h).T @ dn", "h.T @ dn", "factor"),
    ("leaky_reservoir.py", "(1.0 - leak) * lam + W.T", "lam + W.T", "factor"),
    ("leaky_reservoir.py", "A[n - 1] - X[n - 1])", "A[n - 1] - X[n])", "time"),
    ("projected_lstm.py", "dP += dr.T @ s['m']", "dP += (dr_all[t]).T @ s['m']", "mix-up"),
    ("projected_lstm.py", "dc = dc*s['f']", "dc = dc*s['i']", "mix-up"),
    ("hinge_whole.py", "* y / N", "* y", "factor"),
]


def judged(text, folder):
    path = folder / "theirs.py"
    path.write_text(text, encoding="utf-8")
    return judge(find(str(path), Adapter()), None, Adapter(), print)


@pytest.mark.parametrize("file", SAID)
def test_how_strangers_write_is_found_out(file, tmp_path):
    cell, sentence = SAID[file]
    found = judged((STRANGERS / file).read_text(encoding="utf-8"), tmp_path)
    assert found.correct, str(found)
    assert found.cell == cell and sentence in found.conventions, str(found)
    assert found.largest_error < 1e-9


def test_what_is_not_seen_is_not_called_right(tmp_path):
    text = (STRANGERS / "lists_of_layers.py").read_text(encoding="utf-8")
    hidden = text.replace("self.W = [", "self.W = hide([").replace("self.R = [", "self.R = hide([")
    hidden = hidden.replace("self.b = [", "self.b = hide([").replace("(layers)]", "(layers)])")
    found = judged(f"{hidden}\n\nclass hide(tuple):\n    pass\n", tmp_path)
    (fault,) = found.faults
    assert fault.kind == "missing gradient" and "so none is judged; keep weights as arrays" in fault.message


def test_what_is_left_out_is_said(tmp_path):
    text = (STRANGERS / "lists_of_layers.py").read_text(encoding="utf-8")
    hidden = text.replace("self.R = [", "self.R = hide([").replace(
        "(nh, nh)) for l in range(layers)]", "(nh, nh)) for l in range(layers)])"
    )
    found = judged(f"{hidden}\n\nclass hide(tuple):\n    pass\n", tmp_path)
    assert found.correct and found.unjudged == (
        "dR isn't judged: nothing that the forward pass was seen to read has this gradient",
    )
    assert "theirs.py: correct, 1 gradient not judged (" in str(found)


def test_a_carry_that_a_loop_over_layers_lacks_is_put_in(tmp_path):
    text = (STRANGERS / "list_of_dicts.py").read_text(encoding="utf-8")
    line = '                dh[l] = layer["R"].T @ da\n'
    assert line in text
    [fault] = judged(text.replace(line, ""), tmp_path).faults
    assert (fault.line, fault.kind) == (0, "dropped carry"), fault
    assert fault.mended == "dh[l] = layer['R'].T @ da  (after line 40)"


def test_weights_in_tuples_and_objects_have_names_of_their_own(tmp_path):
    text = (STRANGERS / "layer_objects.py").read_text(encoding="utf-8")
    found = judged(
        text.replace("self.layers = [", "self.layers = tuple([").replace("sizes[1:])]", "sizes[1:])])"), tmp_path
    )
    assert found.correct and not found.unjudged, str(found)
    lacking = text.replace("self.dR = np.zeros_like(self.R)", "pass").replace("self.dR += h.T @ da", "pass")
    said = [fault.message for fault in judged(lacking, tmp_path).faults]
    assert said == [f"no gradient of shape (5, 20) is returned for layers[{layer}].R" for layer in (0, 1)]


def test_every_stranger_is_judged():
    assert SAID.keys() == {path.name for path in STRANGERS.glob("*.py")}


@pytest.mark.parametrize(("file", "was", "now", "kind"), FAULTS)
def test_a_strangers_fault_is_placed_named_and_mended(file, was, now, kind, tmp_path):
    text = (STRANGERS / file).read_text(encoding="utf-8")
    assert was in text
    broken = text.replace(was, now, 1)
    line = text[: text.index(was)].count("\n") + 1
    [fault] = judged(broken, tmp_path).faults
    assert (fault.line, fault.kind) == (line, kind), fault
    lines = broken.splitlines()
    indent = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]
    mended = "\n".join([*lines[: line - 1], indent + fault.mended, *lines[line:]])
    assert judged(mended, tmp_path).correct


def test_a_difference_is_turned_where_its_sign_is_wrong(tmp_path):
    text = (STRANGERS / "gru_classifier.py").read_text(encoding="utf-8")
    [fault] = judged(text.replace("dh * (h - n)", "dh * (n - h)"), tmp_path).faults
    assert fault.mended == "dz = dh * (h - n) * z * (1 - z)"


class Told(Exception):
    """What is known before the search for what is wrong."""


def test_a_division_that_is_missing_is_told_before_the_search(tmp_path):
    def stop(said):
        if not isinstance(said, str):
            raise Told(said.faults)

    text = (STRANGERS / "gru_classifier.py").read_text(encoding="utf-8")
    assert "        dlogits /= B\n" in text
    path = tmp_path / "theirs.py"
    path.write_text(text.replace("        dlogits /= B\n", ""), encoding="utf-8")
    with pytest.raises(Told) as known:
        judge(find(str(path), Adapter()), None, Adapter(), stop)
    [[fault]] = known.value.args
    says = "all gradients are B = 3 times those of the loss, which is a mean: divide by B"
    assert (fault.kind, fault.message) == ("scale", says)


def test_half_of_a_gradient_is_not_taken_for_clipping(tmp_path):
    """Gradients that are all too small by one factor have the norm of clipped ones on one probe, not on two."""
    text = (STRANGERS / "cache_dict_mgu.py").read_text(encoding="utf-8")
    found = judged(text.replace("dhs[:, t] + dh_carry", "0.5 * dhs[:, t] + dh_carry"), tmp_path)
    assert not found.correct and [fault.kind for fault in found.faults] == ["factor"], str(found)


def test_a_backward_pass_that_ignores_the_loss_is_wrong(tmp_path):
    text = (STRANGERS / "leaky_relu_loss.py").read_text(encoding="utf-8")
    found = judged(text.replace("Why.T @ dy + dhnext", "dhnext"), tmp_path)
    assert not found.correct, str(found)
