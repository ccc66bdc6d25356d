"""Cells that nobody's knowledge ships with, each for one kind of trouble that generated code can have."""

import runpy
from pathlib import Path

HOME_MADE = {
    # state-dependent gates through diagonal weights, one of them reading a state's new value
    "peephole": """
x: input[m]
h: state[n]
c: state[n]
i = sigmoid(W_xi @ x + W_hi @ h + p_i * c + b_i)
f = sigmoid(W_xf @ x + W_hf @ h + p_f * c + b_f)
c = f * c + i * tanh(W_xg @ x + W_hg @ h + b_g)
o = sigmoid(W_xo @ x + W_ho @ h + p_o * c + b_o)
h = o * tanh(c)
""",
    # a matrix as input, softmax, products sample by sample
    "attention": """
x: input[m]
V: input[L, D]
h: state[n]
e = V @ (W_a @ h)
a = softmax(e)
z = V.T @ a
h = tanh(U @ h + C @ z + W @ x + b) / (1 + norm(h))
""",
    # a number as state beside a vector, two inputs
    "two_inputs": """
x: input[m]
u: input[k]
h: state[n]
s: state
h = tanh(W @ h + V @ x) + (P @ u) * (Q @ h) * s
s = sigmoid(dot(w, h)) * s + max(sum(u), 0.5 * s) - h[0]
""",
    # what depends on parameters alone, and on nothing: run once, with an epilogue of its own
    "skew": """
x: input[m]
h: state[n]
A = W - W.T
G = exp(-softmax(g))
h = h + 0.1 * tanh(A @ h - 0.01 * h + V @ x + b) * G - 0.1 * sum(h) / sum(ones(n))
""",
    # a matrix as state
    "memory": """
x: input[m]
C: state[n, k]
key = W_k @ x
value = tanh(W_v @ x)
C = sigmoid(b) * C + exp(dot(w_i, x)) * outer(value - C @ key, key) - 0.1 * R @ C
""",
    # pieces of vectors, whose sizes appear nowhere else in a function
    "pieces": """
x: input[m]
u: input[k]
h: state[n]
v = tanh(W @ concat(h, x, 2 * u) + b)
head = v[0:k] * u
h = 0.5 * v + concat(head, h[k:n]) * h[1] - sum(h[0:k]) * h[k]
""",
    # a size that only an index knows
    "index": """
x: input[m]
p: param[k]
h: state[n]
g = sum(p)
h = tanh(W @ x) + g * h * h[k]
""",
    "kinks": """
x: input[m]
h: state[n]
a = W @ h + V @ x + b
h = max(a, 0.3 * h) + min(a * a, p) - 0.2 * abs(h) + relu(a - h) * step(h) + 0.1 * sign(a) * geq(a, h)
""",
    # every smooth function of the table, powers and quotients
    "functions": """
x: input[m]
h: state[n]
a = W @ x + U @ h
g = exp(-a**2) + log(2 + a * a) + sqrt(1 + h**2) - (1 + a**2)**-1.5 / 3
q = sin(a) * cos(h) - arctan(a) + erf(h) + softplus(a) * silu(h)
h = tanh(q / (1 + norm(g)) - h**3 / (2 + sum(h * h)) + dot(h, g) * p)
""",
    # products among parameters alone, inside an equation: the gradients of both sides are sums over all steps
    "among_parameters": """
x: input[m]
W: param[n, k]
b: param[k]
h: state[n]
h = tanh(W @ b + V @ x + U @ h) * (U.T @ tanh(c)) + softmax(d) * h
""",
    # a product of a sum of products, all of them before the time loop or all of them in it
    "chain": """
x: input[m]
u: input[k]
h: state[n]
c: state[k]
h = tanh(A @ (C @ x + D @ u) + B @ (E @ h + F @ c))
c = sin(G @ (P @ h - Q @ h))
C: param[n, m]
E: param[m, n]
P: param[m, n]
""",
    # vectors of one number, which functions read, and a value behind another size in its stack
    "numbers": """
x: input[m]
b: param[k]
h: state[n]
s: state
v = relu(b) * (V @ x)
e = ones(n)
f = softplus(0.5 * e)
g = tanh(s * e) + f
h = tanh(sigmoid(W @ v) / (1 + ((U @ x) * sum(c + h))**2)) * g
s = sin(sum(h))
""",
    # no input, numbers as states
    "henon": """
x: state
y: state
u = x
x = 1 - a * x**2 + y
y = b * u
""",
    # states that are only copied, and one that is set by the input alone
    "copied": """
x: input[n]
h: state[n]
old: state[n]
older: state[n]
seen: state[n]
older = old
old = h
seen = x
h = tanh(W @ seen + h * older)
""",
    # states that products make, of vectors that make other values too
    "linear_states": """
x: input[m]
h: state[n]
s: state[k]
r: state[k]
s = 0.05 * (B @ x) + 0.95 * s
h = sigmoid(P @ s + A @ x + R @ h)
r = C @ x + D @ r
""",
    # quantities that have the names of what generated code uses itself
    "collisions": """
x: input[m]
forward: input
h: state[n]
T: state
loss_h: state
A = W - W.T
B = tanh(range @ h + np @ x + total)
t = sigmoid(math * B + k * a_h)
s = maximum * max(t, njit) + absolute * abs(j0 + t)
i = dot(size_n, s) + p1 * T + forward
n = A @ s + W_once * h
p2 = range @ n
T = 0.5 * i * loss_h - tanh(T)
loss_h = sum(h * backward) / 2
h = tanh(p2 + n) * largest
""",
    "unicode": """
x: input[m]
Größe: state[ñ]
Größe = tanh(Ωμ @ Größe + 重み @ x + β)
""",
}

random_cell = runpy.run_path(str(Path(__file__).parent / "random_cells.py"))["random_cell"]
HOME_MADE |= {f"random{seed}": random_cell(seed) for seed in (0, 5, 58)}
