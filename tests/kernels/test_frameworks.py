"""Cells as source of other frameworks: their steps carried out, and the frameworks' own gradients where installed."""

import copy
import inspect
import io
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
from click.testing import CliRunner

import bptt
from bptt.cli import main
from bptt.derive.interpret import size
from bptt.derive.sizes import size_from
from bptt.kernels import export
from bptt.kernels.oracle import answer

STRANGE = {
    "fast": """
        x: input[m]
        h: state[n]
        S: state[n, n]
        k: state
        k = 0.9 * k + 0.1 * sum(x)
        s = 0.1
        v = W @ x + S @ h - max(k, 0.3) * min(b, 0.7) + step(q) * sqrt(2) + max(s, b) * tanh(s)
        h = tanh(g * v / sqrt(dot(v, v) + 0.1)) * softplus(k)
        S = lam * S + outer(h, softmax(S.T @ h))
    """,
    "taken": """
        state: input[m]
        torch: state[n]
        A: param[n + 1, m + n]
        jnp = concat(state, torch)
        inputs = silu(A @ jnp)[0:n] * ones(n)
        torch = half * erf(inputs) + shapes * erf(abs(inputs) / n)
        half: param[n]
        n: param[n]
    """,
    "picks": """
        w: index[k]
        h: state[n]
        h = relu((E + 0.5 * E)[w] + U @ h) - log(1 + exp((p + p)[w])) * arctan(h) * step(h - 0.1)
        p: param[k]
    """,
    "sizes": """
        x: input[m]
        h: state[n]
        S: state[n, n]
        R: state[n, n]
        k: state
        q: state
        a = (x @ V + S.T @ h - h @ R) / (n + 1) - n * k
        h = tanh(a) ** 3 / sqrt(2) - U @ ones(n) * min(1, k)
        S = (S @ R).T - 2 / (1 + sum(abs(S)))
        R = outer(h, concat(b, h)[1:n + 1]) + U.T @ S
        k = x[0] * h[n - 1] - dot(h, h)
        q = 0.5
        b: param[2]
        n: param[n]
    """,
    "table": """
        w: index[k]
        E: state[k, n]
        h: state[n]
        h = tanh(E[w] + U @ h)
        E = 0.9 * E
    """,
}
SIZES = {"m": 3, "n": 4, "k": 6, "p": 5, "j": 2}


def cell_of(name):
    if name not in STRANGE:
        return bptt.load(name)
    text = "\n".join(line.strip() for line in STRANGE[name].strip().splitlines())
    return bptt.parse(text, name)


def case(name, dtype="float64"):
    """A cell, its parameters, inputs, states and cotangents."""
    cell = cell_of(name)
    random = np.random.default_rng(1)
    names = {symbol.name for shape in cell.shapes.values() for length in shape for symbol in length.free_symbols}
    names |= {symbol.name for count in cell.indices.values() for symbol in size_from(count).free_symbols}
    sizes = {name: SIZES.get(name, 3) for name in sorted(names)}

    def drawn(shapes, *lead):
        return {
            name: (random.standard_normal((*lead, *(size(size_from(part), sizes) for part in shape))) / 2).astype(dtype)
            for name, shape in shapes.items()
        }

    inputs = drawn(cell.inputs, 5, 2)
    inputs |= {
        name: random.integers(size(size_from(count), sizes), size=(5, 2)) for name, count in cell.indices.items()
    }
    return SimpleNamespace(
        cell=cell,
        sizes=sizes,
        params=drawn(cell.params),
        inputs=inputs,
        states=drawn(cell.states, 2),
        cotangents=drawn(cell.states, 5, 2),
    )


def sizes_of(function, at):
    """The sizes that a function of an exported module takes: those of parameters and states."""
    return {name: size for name, size in at.sizes.items() if name in inspect.signature(function).parameters}


def oracle(at):
    return answer(bptt.derive(at.cell), at.params, at.inputs, at.states, at.cotangents, digits=None)


def as_numpy(source):
    """The step of a module of JAX, carried out by NumPy."""
    special = SimpleNamespace(erf=scipy.special.erf)
    nn = SimpleNamespace(
        sigmoid=scipy.special.expit,
        relu=lambda x: np.maximum(x, 0),
        softplus=lambda x: np.logaddexp(x, 0),
        silu=lambda x: x * scipy.special.expit(x),
        softmax=scipy.special.softmax,
    )
    jax = SimpleNamespace(nn=nn, scipy=SimpleNamespace(special=special))
    scope = {"jax": jax, "jnp": np}
    lines = [line for line in source.splitlines() if not line.startswith("import ")]
    exec("\n".join(lines).partition("\n\n\ndef init")[0], scope)
    return scope["step"]


FED = [name for name in [*bptt.zoo(), *STRANGE] if cell_of(name).inputs or cell_of(name).indices]  # the oracle's wish


@pytest.mark.parametrize("name", FED)
def test_a_step_of_the_source_is_a_step_of_the_cell(name):
    at = case(name)
    step, want = as_numpy(export(at.cell, "jax")), oracle(at).states
    for sample in range(2):
        states = {name: array[sample] for name, array in at.states.items()}
        for t in range(5):
            states = step(at.params, {name: array[t, sample] for name, array in at.inputs.items()}, states)
            for state, value in states.items():
                right = np.asarray(want[state][t, sample], float)
                np.testing.assert_allclose(value, right, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [*bptt.zoo(), *STRANGE])
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_the_source_is_python_that_stands_alone(name, framework):
    source = export(cell_of(name), framework)
    compile(source, name, "exec")
    imports = {line for line in source.splitlines() if line.startswith(("import", "from"))}
    assert imports == ({"import torch"} if framework == "torch" else {"import jax", "import jax.numpy as jnp"})


@pytest.mark.parametrize("name", ["lstm", "attention_decoder", "lru", *STRANGE])
def test_torch_gives_the_same_gradients(name):
    torch = pytest.importorskip("torch")
    at = case(name)
    scope: dict = {}
    exec(export(at.cell, "torch"), scope)
    module = scope["Cell"](**sizes_of(scope["Cell"].__init__, at), dtype=torch.float64)
    module.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in at.params.items()})
    live = bptt.to_torch(at.cell, at.sizes, dtype="float64")
    live.load_state_dict(module.state_dict())
    want = oracle(at)
    for made in (module, torch.compile(module, backend="aot_eager"), live):
        module.zero_grad()
        leaves = {
            name: torch.tensor(array, requires_grad=array.dtype == float)
            for name, array in {**at.inputs, **at.states}.items()
        }
        found = made({name: leaves[name] for name in at.inputs}, {name: leaves[name] for name in at.states})
        sum((found[name] * torch.from_numpy(c)).sum() for name, c in at.cotangents.items()).backward()
        for name, array in found.items():
            right = np.asarray(want.states[name], float)
            np.testing.assert_allclose(array.detach().numpy(), right, rtol=1e-11, atol=1e-12)
        pairs = [(leaves[name].grad, want.inputs[name]) for name in at.cell.inputs]
        pairs += [(leaves[name].grad, want.state[name]) for name in at.states]
        owner = live if made is live else module
        pairs += [(parameter.grad, want.params[name]) for name, parameter in owner.named_parameters()]
        for gradient, right in pairs:
            found_here = 0 if gradient is None else gradient.numpy()  # torch gives none where nothing flows
            np.testing.assert_allclose(found_here, np.asarray(right, float), rtol=1e-9, atol=1e-11)


READ = """
x: input[m]
c: state[k]
h: state[n]
P: param[j, n]
z = max(min(W @ x + U @ h, 1), -1)
c = 0.9 * c + V @ z
h = z / sqrt(1 + dot(z, z)) + R @ c
y = P @ h + q
"""


def test_a_live_module_is_one_of_torch():
    """It is copied, saved, compiled around, given lengths; what no line reads has gradients; misuse is refused."""
    torch = pytest.importorskip("torch")
    module = bptt.to_torch(bptt.parse(READ), {"m": 3, "n": 4, "j": 2, "k": 5}, dtype="float64")
    names = [name for name, _ in module.named_parameters()]
    x, h, c = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((6, 2, 3), (2, 4), (2, 5)))

    def values(x, h, c, *params):
        given = {"x": x}, {"h": h, "c": c}
        return tuple(torch.func.functional_call(module, dict(zip(names, params, strict=True)), given).values())

    assert torch.autograd.gradcheck(values, (x, h, c, *module.parameters()), fast_mode=True)
    found = module({"x": x})
    assert list(found) == ["c", "h", "y"] and found["y"].shape == (6, 2, 2)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for other in (
        copy.deepcopy(module),
        torch.load(file, weights_only=False),
        torch.compile(module, backend="aot_eager"),
    ):
        assert torch.equal(other({"x": x})["y"], found["y"])
    assert torch.equal(module({"x": x}, lengths=[6, 2])["h"][2, 1], found["h"][1, 1])
    [slope] = torch.autograd.grad(module({"x": x})["h"].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        slope.sum().backward()
    total = module({"x": x})["h"].sum()
    with torch.no_grad():
        module.W.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
    with pytest.raises(bptt.Error, match="x is torch.bfloat16 on cpu, and the kernel runs in float32 or float64"):
        module({"x": x.bfloat16()})
    with pytest.raises(bptt.Error, match="input x is float32, this kernel computes in float64"):
        module({"x": x.float()})


def test_the_training_of_the_docs_learns(capsys):
    pytest.importorskip("torch")
    page = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text()
    exec(page.partition("```python train_labels.py\n")[2].partition("```")[0], {})
    assert float(capsys.readouterr().out) < 0.01


@pytest.mark.parametrize("name", ["lstm", "attention_decoder", "lru", *STRANGE])
def test_jax_gives_the_same_gradients(name):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    at = case(name)
    scope: dict = {}
    exec(export(at.cell, "jax"), scope)

    def loss(params, states):
        found = scope["run"](params, at.inputs, states)
        return sum((found[name] * c).sum() for name, c in at.cotangents.items())

    params, states = jax.jit(jax.grad(loss, (0, 1)))(at.params, at.states)
    want = oracle(at)
    for found, right in ((params, want.params), (states, want.state)):
        for name, array in found.items():
            np.testing.assert_allclose(array, np.asarray(right[name], float), rtol=1e-9, atol=1e-11)
    drawn = scope["init"](jax.random.PRNGKey(0), **sizes_of(scope["init"], at))
    assert {name: array.shape for name, array in drawn.items()} == {n: np.shape(a) for n, a in at.params.items()}


def test_the_command(tmp_path):
    run = CliRunner().invoke(main, ["export", "lstm"])
    assert run.exit_code == 0 and "    c = f * c_prev + i * g\n    h = o * torch.tanh(c)\n" in run.output
    path = tmp_path / "cell.py"
    assert CliRunner().invoke(main, ["export", "gru", "--to", "jax", "-o", str(path)]).exit_code == 0
    assert "jax.lax.scan" in path.read_text()
    wrong = CliRunner().invoke(main, ["export", "gru", "-o", "cell.txt"])
    assert wrong.exit_code == 2 and "--to torch is written to a .py file; try -o cell.py" in wrong.output
    with pytest.raises(bptt.Error, match="no framework is called 'tensorflow'"):
        export(bptt.load("rnn"), "tensorflow")


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed")
def test_without_torch_it_is_said():
    with pytest.raises(bptt.Error, match="torch isn't installed: pip install torch"):
        bptt.to_torch(bptt.load("rnn"), {"m": 2, "n": 3})
