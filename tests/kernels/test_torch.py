"""Kernels against PyTorch's own recurrent modules, on the same weights, in double precision. Skips without torch."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

T, B, M, N = 7, 3, 4, 5
TOLERANCE = 1e-12  # rounding, relative to the largest entry of an array

# How torch stacks what we name apart: ours for each block of rows of weight_ih, weight_hh, bias_ih, bias_hh.
# Where torch adds two biases and the cell has one, ours goes into the first and the second is 0.
MODULES: dict[str, Any] = {
    "rnn": (torch.nn.RNN, {"nonlinearity": "tanh"}, (["W_xh"], ["W_hh"], ["b_h"], [None])),
    "rnn_relu": (torch.nn.RNN, {"nonlinearity": "relu"}, (["W_xh"], ["W_hh"], ["b_h"], [None])),
    "lstm": (
        torch.nn.LSTM,
        {},
        (
            ["W_xi", "W_xf", "W_xg", "W_xo"],
            ["W_hi", "W_hf", "W_hg", "W_ho"],
            ["b_i", "b_f", "b_g", "b_o"],
            [None, None, None, None],
        ),
    ),
    "gru_reset_after": (
        torch.nn.GRU,
        {},
        (["W_xr", "W_xz", "W_xg"], ["W_hr", "W_hz", "W_hg"], ["b_r", "b_z", "b_xg"], [None, None, "b_hg"]),
    ),
}
WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def tensor(array, requires_grad=False):
    return torch.tensor(array, dtype=torch.float64, requires_grad=requires_grad)


@pytest.fixture(params=MODULES)
def both(request, make_case):
    """Our case, and torch's module with its weights and results on the same numbers."""
    case = make_case(request.param, T, B, (("n", N), ("m", M)))
    kind, options, blocks = MODULES[request.param]
    module = kind(M, N, dtype=torch.float64, **options)
    with torch.no_grad():
        for name, block in zip(WEIGHTS, blocks, strict=True):
            rows = [case.params[ours] if ours else np.zeros(N) for ours in block]
            getattr(module, name).copy_(tensor(np.concatenate(rows)))
    x = tensor(case.inputs["x"], requires_grad=True)
    start = {name: tensor(array[None], requires_grad=True) for name, array in case.state.items()}
    states: dict[str, list[Any]] = {name: [] for name in case.state}
    now = tuple(start.values())
    for t in range(T):  # step by step, so that every state can enter the loss, c of the LSTM too
        _, after = module(x[t : t + 1], now if len(now) > 1 else now[0])
        now = after if isinstance(after, tuple) else (after,)
        for name, value in zip(states, now, strict=True):
            states[name].append(value[0])
    loss = sum((tensor(case.cotangents[name]) * torch.stack(states[name])).sum() for name in states)
    loss.backward()
    return case, module, x, start, {name: torch.stack(rows) for name, rows in states.items()}


def test_states(both, assert_close):
    case, module, x, start, states = both
    assert_close(case.run.states, {name: value.detach().numpy() for name, value in states.items()}, TOLERANCE)
    whole, _ = module(x, tuple(start.values()) if len(start) > 1 else start["h"])
    assert_close({"h": case.run.states["h"]}, {"h": whole.detach().numpy()}, TOLERANCE)


def test_gradients(both, assert_close):
    case, module, x, start, _ = both
    assert_close(case.grads.inputs, {"x": x.grad.numpy()}, TOLERANCE)
    assert_close(case.grads.state, {name: value.grad[0].numpy() for name, value in start.items()}, TOLERANCE)
    blocks = MODULES[case.name][2]
    theirs: dict[str, Any] = {}
    for name, block in zip(WEIGHTS, blocks, strict=True):
        pieces = np.split(getattr(module, name).grad.numpy(), len(block))
        theirs |= {ours: piece for ours, piece in zip(block, pieces, strict=True) if ours}
    assert_close(case.grads.params, theirs, TOLERANCE)
