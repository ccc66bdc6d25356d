"""Faults in programs as strangers write them: each is placed, named and mended."""

import ast
from pathlib import Path

import pytest

from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge

STRANGERS = Path(__file__).parent / "theirs" / "strangers"
FAULTS = [
    ("accumulators.py", "dbx, dbh = np.zeros(len(bx)), np.zeros(len(bh))", "dbx = dbh = np.zeros(len(bx))", "aliasing"),
    ("alias_tape.py", "tape.append(h.copy())", "tape.append(h)", "aliasing"),
    ("cache_dict_mgu.py", "(f * hp).T", "hp.T", "mix-up"),
    ("cache_dict_mgu.py", "dh * (c - hp) + dfh * hp", "dh * (c - hp)", "missing path"),
    ("char_rnn_class.py", "carry = self.W.T @ da", "carry = self.W @ da", "transpose"),
    ("closures.py", "hs[t].T @ da", "hs[t + 1].T @ da", "time"),
    ("coupled_gate_own.py", "(h - np.sin(u))", "h - np.sin(u)", "parentheses"),
    ("course_cells.py", "dpre = (1 - a_new**2) * da_new", "dpre = 1 - a_new**2", "factor"),
    ("fast_weights.py", "dA = LAM * dA_new", "dA = dA_new", "factor"),
    ("features_first_lstm.py", "dh * th * y", "dh * c_new * y", "activation"),
    ("gru_after_two_biases.py", "[g_r, g_z, g_n * r]", "[g_r, g_z, g_n]", "factor"),
    ("integrated_einsum.py", "e * (alpha * u + beta2)", "e * (alpha * u)", "missing path"),
    ("mgu_steps_columns.py", "(dh * (k - h) + dfh[:n] * h)", "(dh * (k - h))", "missing path"),
    ("clipped_columns.py", "W_out.T.dot(gscore) + from_later", "W_out.T.dot(gscore)", "dropped carry"),
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
    ("next_token.py", "dy[tokens[t + 1]] -= 1", "dy[tokens[t]] -= 1", "time"),
    ("next_token.py", "dhnext = self.Whh.T @ da", "dhnext = self.Whh @ da", "transpose"),
    ("captioning_class.py", "dscores *= mask[:, :, None] / N", "dscores /= N", "factor"),
    ("captioning_class.py", "dscores *= mask[:, :, None] / N", "dscores = dscores / N", "factor"),
    (
        "captioning_class.py",
        'np.add.at(grads["W_embed"], captions_in, dx)',
        'grads["W_embed"][captions_in] += dx',
        "accumulation",
    ),
    ("captioning_class.py", "hs[:, t - 1] if t > 0 else h0", "hs[:, t]", "time"),
    ("captioning_class.py", "features.T @ dprev", "features.T @ dhs[:, 0]", "mix-up"),
    ("masked_steps.py", "+ total * (1 - keep)", "", "missing path"),
    ("masked_steps.py", "da = total * keep *", "da = total *", "factor"),
    ("masked_steps.py", "dWh += h[:, t].T @ da", "dWh += h[:, t + 1].T @ da", "time"),
    (
        "nodes_of_params.py",
        "self.g * ds, self.i * ds, self.s_prev * ds",
        "self.g * ds, self.i * ds, self.s * ds",
        "time",
    ),
    ("nodes_of_params.py", "self.bottom_s = ds * self.f", "self.bottom_s = ds * self.i", "mix-up"),
    ("nodes_of_params.py", "self.o * top_h + top_s", "self.o * top_h", "dropped carry"),
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
    ("inlined_step.py", "dc * ft + da * ot * (1 - np.tanh(c_now) ** 2) * ft", "dc * ft", "stale"),
    ("onehot_targets.py", "gW += np.outer(a, H[k])", "gW += np.outer(a, H[k + 1])", "time"),
    ("onehot_targets.py", "g = V.T @ err + back", "g = V.T @ err", "dropped carry"),
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
    ("zipped_lists.py", "(dseq[t] + carry)", "dseq[t]", "missing path"),
    ("zipped_lists.py", "np.outer(da, h[t])", "np.outer(da, h[t + 1])", "time"),
    ("lists_of_gates.py", "dc * f, dz.T", "dc, dz.T", "factor"),
    ("lists_of_gates.py", "cell_backward(dh[l] + d,", "cell_backward(d,", "dropped carry"),
    ("listed_sizes.py", "carry = da * u", "carry = da", "factor"),
    ("weight_decay.py", '(ds[:, t] @ p["Wo"].T + carry)', '(ds[:, t] @ p["Wo"].T)', "missing path"),
    ("weight_decay.py", "self.decay * p[name] if", "2 * self.decay * p[name] if", "factor"),
    ("pullbacks.py", "pull(dy + dh)", "pull(dy)", "dropped carry"),
    ("pooled_attention.py", "dh * (h - n)", "dh * (n - h)", "sign"),  # what is mended after it needn't be
]


def judged(text, folder):
    path = folder / "theirs.py"
    path.write_text(text, encoding="utf-8")
    return judge(find(str(path), Adapter()), None, Adapter(), print)


def same(text, other):
    """Return whether two programs are one, apart from how they are laid out."""
    return ast.dump(ast.parse(text)) == ast.dump(ast.parse(other))


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
    assert same(mended, text) or judged(mended, tmp_path).correct  # the program itself is judged with all strangers


def test_limits_on_gradients_hide_no_fault(tmp_path):
    text = (STRANGERS / "clipped_class.py").read_text(encoding="utf-8")
    found = judged(text.replace("self.hs[t - 1].T", "self.hs[t].T"), tmp_path)
    [fault] = found.faults
    assert (fault.kind, fault.mended) == ("time", 'g["W_hh"] += da @ self.hs[t - 1].T')
    assert "all 6 gradients agree" in fault.proof and any("limited where they are large" in n for n in found.notes)
    assert "Gradients are clipped to ±5, entry by entry." in judged(text, tmp_path).notes


def test_a_difference_is_turned_where_its_sign_is_wrong(tmp_path):
    text = (STRANGERS / "gru_classifier.py").read_text(encoding="utf-8")
    [fault] = judged(text.replace("dh * (h - n)", "dh * (n - h)"), tmp_path).faults
    assert fault.mended == "dz = dh * (h - n) * z * (1 - z)"
