"""Models as source of other frameworks: carried out by NumPy in the framework's place, and by it where installed."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
from click.testing import CliRunner

import bptt
from bptt.cli import main
from tests.kernels.test_model_kernel import BATCH, STEPS, evaluate, losses, numbers, sample

STRANGE = {
    "backwards": """
        x: input[T, m]
        y: index[T, k]
        fwd: gru
        bwd: rnn
        for t in reversed(range(T)):
            b = bwd(x[t])
        r: state[n] = b
        for t in range(T):
            r = fwd(concat(x[t], b[t]))
            u = V @ r + W @ b[t]
            loss += cross_entropy(u, y[t])
        p = softmax(V @ r + W @ b)
        q = p @ p
        loss += squared_error(p, p * q) - 0.5 * q
    """,
    "before": """
        x: input[T, m]
        p: input[T, k]
        h: state[n] = h0
        s: state[n] = h0 * h0
        for t in range(T):
            loss += sum(h * s) + cross_entropy(V @ h, p[t])
            h = tanh(U @ h + W @ x[t])
            s = s * 0.9
            e = h[0] * 2
    """,
    "still": """
        y: index[T, k]
        z: input[k]
        a: param[n]
        V: param[k, n]
        g = tanh(R @ a) + 0.25 * ones(n)
        h: state[n] = g
        half = 0.5
        for s in range(T):
            v = V @ a * half
        for t in range(T):
            h = tanh(R @ h)
            loss += cross_entropy(V @ h + v[t], y[t])
        loss += squared_error(V @ h, z)
    """,
    "whole": """
        x: input[T, m]
        w: index[T, k]
        y: index[n]
        r: input
        E: param[k, n]
        A: param[n, m]
        for t in range(T):
            h = tanh(A @ x[t] + E[w[t]])
        H = stack(h)
        X = stack(x)
        u = H.T @ softmax(X @ a) + A @ (X.T @ (H @ b))
        loss += r * cross_entropy(u, y)
    """,
    "sizes": """
        P: input[S, V]
        x: input[T, m]
        y: index[V]
        seen: state[S]
        s: state[n]
        r: state[n] = -5 * ones(n)
        for i in range(S):
            a = tanh(A @ P[i])
        H = stack(a)
        for t in range(T):
            r = tanh(U @ r + W @ x[t] + H.T @ seen)
            e = H @ r
            seen = seen + softmax(e)
            s = s + r / sum(ones(T))
            loss += sum(e * seen) / sum(ones(S))
        loss += cross_entropy(V_y @ s, y) / sum(ones(T))
    """,
    "taken": """
        params: input[B, key]
        y: index[B, dtype]
        torch: state[self]
        for t in range(B):
            torch = tanh(values @ params[t] + inputs @ torch + jnp)
            zeros = like @ torch
            loss += cross_entropy(zeros, y[t])
    """,
}


def model_of(name):
    if name not in STRANGE:
        return bptt.load_model(name)
    lines = STRANGE[name].strip("\n").splitlines()
    return bptt.parse_model("\n".join(line[8:] for line in lines), name)


def vmap(function, in_axes=0):
    """What `jax.vmap` does, one by one."""

    def mapped(*arguments):
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,)
        tables = [table for axis, table in zip(axes, arguments, strict=True) if axis == 0]
        count = {len(array) for table in tables for array in table.values()}
        assert len(count) == 1, "arrays of one batch differ in length, or there are none"

        def one(number):
            return [
                {name: array[number] for name, array in table.items()} if axis == 0 else table
                for axis, table in zip(axes, arguments, strict=True)
            ]

        found = [function(*one(number)) for number in range(*count)]
        return {name: np.stack([values[name] for values in found]) for name in found[0]}

    return mapped


def scan(function, carry, inputs, length, reverse=False):
    """What `jax.lax.scan` does."""
    found: list = [None] * length
    for t in reversed(range(length)) if reverse else range(length):
        carry, found[t] = function(carry, {name: array[t] for name, array in inputs.items()})
    return carry, {name: np.stack([values[name] for values in found]) for name in found[0]}


def by_numpy(source):
    """Carry out a module of JAX in NumPy, on complex numbers too."""
    nn = SimpleNamespace(
        sigmoid=lambda x: 1 / (1 + np.exp(-x)),
        softmax=lambda x: np.exp(x) / np.exp(x).sum(),
        softplus=lambda x: np.log1p(np.exp(x)),
        log_softmax=lambda x: x - np.log(np.exp(x).sum()),
        logsumexp=lambda x: np.log(np.exp(x).sum()),
    )
    special = SimpleNamespace(special=SimpleNamespace(erf=scipy.special.erf))
    scope = {"jax": SimpleNamespace(vmap=vmap, lax=SimpleNamespace(scan=scan), nn=nn, scipy=special), "jnp": np}
    exec("\n".join(line for line in source.splitlines() if not line.startswith("import ")), scope)
    return SimpleNamespace(**scope)


def counts_of(model):
    """How many samples and steps there are, where no input of a prediction says it."""
    asked = bptt.export(model, "jax").partition("\ndef run(")[2].partition(")")[0].partition("*, ")[2]
    return {name: {**STEPS, "B": BATCH}[name] for name in asked.split(", ") if name}


@pytest.mark.parametrize("name", [*bptt.models(), *STRANGE])
def test_the_source_gives_the_losses_and_slopes_of_the_text_run_by_python(name):
    model = model_of(name)
    made = by_numpy(bptt.export(model, "jax"))
    params, inputs, sizes = numbers(model)
    np.testing.assert_allclose(made.loss(params, inputs), losses(model, params, inputs, sizes), rtol=1e-12)
    step, random = 1e-30, np.random.default_rng(1)  # of a complex number: no difference is taken, so none is lost
    tables = {"params": params, "inputs": {n: a for n, a in inputs.items() if n in model.inputs}}
    for table, arrays in tables.items():
        moved = {n: array + 1j * step * random.standard_normal(array.shape) for n, array in arrays.items()}
        near, fed = (moved, inputs) if table == "params" else (params, inputs | moved)
        found, want = made.loss(near, fed).imag / step, losses(model, near, fed, sizes).imag / step
        np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-13)
    values = made.run(params, {n: a for n, a in inputs.items() if f'["{n}"]' in predicts(model)}, **counts_of(model))
    for number in range(BATCH):
        right = evaluate(model.text, {**params, **sample(model, inputs, number)}, sizes)
        for value, array in values.items():
            if value in right:
                block = model.blocks[model.home(value)]
                last = array if block.axis is None else array[0 if block.reverse else -1]
                np.testing.assert_allclose(last[number], right[value], rtol=1e-12, atol=1e-15, err_msg=value)


def predicts(model):
    """The source of what predicts, which needs no target."""
    return bptt.export(model, "jax").partition("\ndef run(")[2].partition("\ndef loss(")[0]


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_the_source_stands_alone(name, framework):
    source = bptt.export(model_of(name), framework)
    compile(source, name, "exec")
    imports = {line for line in source.splitlines() if line.startswith(("import", "from"))}
    assert imports == ({"import torch"} if framework == "torch" else {"import jax", "import jax.numpy as jnp"})
    assert max(map(len, source.splitlines())) <= 120


def test_targets_are_for_the_loss_alone():
    assert '["y"]' not in predicts(bptt.load_model("attention"))
    made = by_numpy(bptt.export(bptt.load_model("hello"), "jax"))
    params, inputs, _ = numbers(bptt.load_model("hello"))
    assert made.run(params, {"x": inputs["x"]})["u"].shape == (4, BATCH, 4)
    with pytest.raises(KeyError, match="y"):
        made.loss(params, {"x": inputs["x"]})


def test_a_given_state_goes_on():
    model = bptt.load_model("character_language_model")
    made, (params, inputs, _) = by_numpy(bptt.export(model, "jax")), numbers(model)
    whole = made.run(params, inputs)
    first = made.run(params, {n: array[:2] for n, array in inputs.items()})
    states = {n: first[n][-1] for n in ("h", "c")}
    second = made.run(params, {n: array[2:] for n, array in inputs.items()}, states)
    np.testing.assert_allclose(second["u"], whole["u"][2:], rtol=1e-14)


def compared(model, found, loss, grads, inputs):
    """Compare with the compiled model: the loss, the values, and gradients by name."""
    kernel = bptt.compile(model)
    params, given, _ = numbers(model)
    run = kernel.forward(params, given)
    np.testing.assert_allclose(loss, run.loss, rtol=1e-11)
    for name, array in found.items():
        if not name.endswith("_prev"):
            want = run.value(name)
            np.testing.assert_allclose(array, want if array.ndim == want.ndim else want[0], rtol=1e-11, atol=1e-13)
    right = kernel.backward(run)
    for got, want in ((grads, right.params), (inputs, right.inputs)):
        for name, array in want.items():
            np.testing.assert_allclose(0 if got[name] is None else got[name], array, rtol=1e-9, atol=1e-12)


REAL = ["attention", "bidirectional", "fixed_window", *STRANGE]


@pytest.mark.parametrize("name", REAL)
def test_torch_gives_the_same(name):
    torch = pytest.importorskip("torch")
    model = model_of(name)
    scope: dict = {}
    params, inputs, sizes = numbers(model)
    exec(bptt.export(model, "torch"), scope)
    names = scope["Model"].__init__.__code__.co_varnames[1 : scope["Model"].__init__.__code__.co_argcount - 1]
    module = scope["Model"](*(sizes[n if n in sizes else n[:-1]] for n in names), dtype=torch.float64)
    module.load_state_dict({n: torch.from_numpy(np.asarray(array)) for n, array in params.items()})
    for loss in (module.loss, torch.compile(module.loss, backend="aot_eager")):
        module.zero_grad()
        leaves = {n: torch.tensor(array, requires_grad=array.dtype == float) for n, array in inputs.items()}
        found = loss(leaves)
        found.sum().backward()
        grads = {n: parameter.grad for n, parameter in module.named_parameters()}
        with torch.no_grad():
            values = {n: array.numpy() for n, array in module(leaves, **counts_of(model)).items()}
        compared(model, values, found.detach().numpy(), grads, {n: array.grad for n, array in leaves.items()})
    live = bptt.to_torch(model, sizes, dtype="float64")
    live.load_state_dict(module.state_dict())
    leaves = {n: torch.tensor(array, requires_grad=array.dtype == float) for n, array in inputs.items()}
    values = live(leaves)
    loss = values.pop("loss")
    loss.sum().backward()
    grads = {n: parameter.grad for n, parameter in live.named_parameters()}
    values = {n: array.detach().numpy() for n, array in values.items()}
    compared(model, values, loss.detach().numpy(), grads, {n: array.grad for n, array in leaves.items()})


@pytest.mark.parametrize("name", REAL)
def test_jax_gives_the_same(name):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    model = model_of(name)
    scope: dict = {}
    *arrays, sizes = numbers(model)
    params, inputs = ({n: jax.numpy.asarray(array) for n, array in table.items()} for table in arrays)
    exec(bptt.export(model, "jax"), scope)
    floats = {n: array for n, array in inputs.items() if n in model.inputs}
    whole = {n: array for n, array in inputs.items() if n in model.indices}

    def loss(params, floats):
        return scope["loss"](params, floats | whole)

    grads = jax.jit(jax.grad(lambda *given: loss(*given).sum(), (0, 1)))(params, floats)
    values = {n: np.asarray(array) for n, array in scope["run"](params, inputs, **counts_of(model)).items()}
    compared(model, values, jax.jit(loss)(params, floats), *grads)
    names = scope["init"].__code__.co_varnames[1 : scope["init"].__code__.co_argcount - 1]
    drawn = scope["init"](jax.random.PRNGKey(0), *(sizes[n if n in sizes else n[:-1]] for n in names))
    assert {n: array.shape for n, array in drawn.items()} == {n: np.shape(array) for n, array in params.items()}


def test_the_command(tmp_path):
    path = tmp_path / "model.py"
    run = CliRunner().invoke(main, ["export", "attention", "-o", str(path)])
    assert (run.exit_code, run.output) == (0, f"Wrote {path}\n")
    assert "class Model(torch.nn.Module):" in path.read_text()
    own = tmp_path / "own.model"
    own.write_text(model_of("backwards").text)
    assert "reverse=True" in CliRunner().invoke(main, ["export", str(own), "--to", "jax"]).output
