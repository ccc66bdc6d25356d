"""Programs as strangers write them: every calling convention is found out and said, and a fault in it is mended."""

from pathlib import Path

import pytest

from bptt.analysis.verdicts.code_adapter import Adapter
from bptt.analysis.verdicts.code_finding import find
from bptt.analysis.verdicts.code_judging import judge
from bptt.derive.errors import Error

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
    "clipped_columns.py": ("rnn", "One sequence at a time. Inputs are indices, read as one-hot vectors."),
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
    "inlined_step.py": ("lstm", "A single step, a column vector (features, 1)."),
    "onehot_targets.py": ("rnn", "The loss is computed inside, from targets: the cross-entropy of a softmax."),
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
    "loss_of_many.py": (OWN, "The loss is computed inside, from targets."),
    "zipped_lists.py": (OWN, "One sequence at a time, (T, features)."),
    "lists_of_gates.py": (OWN, "Sequences are (T, B, features)."),
    "listed_sizes.py": (OWN, "Sequences are (B, T, features)."),
    "clipped_class.py": (OWN, "Loss gradients come in at the outputs of every step."),
    "weight_decay.py": (OWN, "The loss is computed inside, from targets."),
    "pullbacks.py": ("rnn", "Sequences are (T, B, features)."),
    "pooled_attention.py": (OWN, "Loss gradients come in at the last step."),
    "number_series.py": (OWN, "One sequence of numbers, (T,)."),
    "next_token.py": (OWN, "The loss is computed inside."),
    "captioning_class.py": (OWN, "The loss is computed inside."),
    "masked_steps.py": (OWN, "Sequences are (B, T, features)."),
    "nodes_of_params.py": (OWN, "The loss is computed inside, from targets."),
}


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


def test_what_wants_objects_of_its_own_is_told_what_to_write(tmp_path):
    text = (
        "import numpy as np\n\n\nclass Unit:\n"
        "    def __init__(self, memory):\n        self.memory = memory\n\n"
        "    def forward(self, x):\n        self.h = np.tanh(self.memory.weights_of(x) @ x)\n\n"
        "    def backward(self, dh):\n        return dh * (1 - self.h**2)\n"
    )
    with pytest.raises(
        Error, match=r"asks one of its arguments for \.weights_of, which no array has\. Write a function"
    ):
        judged(text, tmp_path)


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


def test_a_division_that_is_missing_is_put_in(tmp_path):
    text = (STRANGERS / "gru_classifier.py").read_text(encoding="utf-8")
    number = text[: text.index("        dlogits /= B\n")].count("\n")
    lacking = text.replace("        dlogits /= B\n", "")
    [fault] = judged(lacking, tmp_path).faults
    assert (fault.line, fault.kind, fault.mended) == (0, "scale", f"dlogits /= B  (after line {number})")
    assert "all 6 gradients agree" in fault.proof
    unnamed = lacking.replace("        B, T = self.tokens.shape\n", "        T = self.tokens.shape[1]\n")
    [fault] = judged(
        unnamed.replace("np.arange(B), self.labels] -=", "np.arange(len(self.p)), self.labels] -="), tmp_path
    ).faults
    assert fault.mended == f"dlogits /= len(dlogits)  (after line {number})"


def test_half_of_a_gradient_is_not_taken_for_clipping(tmp_path):
    """Gradients that are all too small by one factor have the norm of clipped ones on one probe, not on two."""
    text = (STRANGERS / "cache_dict_mgu.py").read_text(encoding="utf-8")
    found = judged(text.replace("dhs[:, t] + dh_carry", "0.5 * dhs[:, t] + dh_carry"), tmp_path)
    assert not found.correct and [fault.kind for fault in found.faults] == ["factor"], str(found)


def test_a_backward_pass_that_ignores_the_loss_is_wrong(tmp_path):
    text = (STRANGERS / "leaky_relu_loss.py").read_text(encoding="utf-8")
    found = judged(text.replace("Why.T @ dy + dhnext", "dhnext"), tmp_path)
    assert not found.correct, str(found)
