"""Cells that no file of the package knows."""

HOME_MADE = {
    "peephole": '''"""Gated cell with peephole weights."""
x: input[m]
h: state[n]
c: state[n]
i = sigmoid(W_xi @ x + W_hi @ h + p_i * c + b_i)
f = sigmoid(W_xf @ x + W_hf @ h + p_f * c + b_f)
g = tanh(W_xg @ x + W_hg @ h + b_g)
c = f * c + i * g
o = sigmoid(W_xo @ x + W_ho @ h + p_o * c + b_o)
h = o * tanh(c)
''',
    "attention": '''"""Recurrent cell that looks at a context with softmax attention."""
x: input[m]
V: input[L, D]
h: state[n]
alpha = softmax(V @ (W_a @ h))
context = V.T @ alpha
h = tanh(W_h @ h + W_x @ x + W_c @ context + b_h)
''',
    "two_inputs": """x: input[m]
y: input[k]
h: state[n]
h = tanh(W_hh @ h + W_xh @ x + relu(W_yh @ y) * h + b_h)
""",
    "prologue": '''"""Antisymmetric recurrent network with 50% of # $pecial_signs & \\\\ é Ж 中 ∂."""
x: input[m]
h: state[n]
A = W - W.T
h = h + 0.01 * tanh(A @ h - 0.1 * h + V_h @ x + b_h)
''',
    "matrix_state": '''"""Fast weights with a matrix state."""
x: input[m]
S: state[n, n]
h: state[n]
k = W_k @ x
v = W_v @ x
beta = sigmoid(dot(w_beta, x))
S = 0.9 * S + beta * outer(v, k)
q = W_q @ x
h = S @ q + 0.5 * h
''',
    "everything": """x: input[m]
y: input[k]
h: state[n]
s: state
z = sigmoid(W @ concat(x, h) + b)
r = z / (1 + norm(h))
mean = sum(h) / 3
s = s + mean**2 * exp(-y[0]) + max(sum(y[1:4]), s) + (s + mean) / (1 + abs(mean))
h = (1 - r) * h + r * tanh(U @ concat(x, r * h) + s * gamma_h + v_bar) - relu(h / 3) + ones(n) * sqrt(s)
""",
    "scored": """w: index[V]
y: index[k]
t: input[k]
h: state[n]
l: state
E: param[V, m]
h = tanh(W @ E[w] + U @ h + b)
u = Q @ h
l = cross_entropy(u, y) + squared_error(u, t) + logistic_loss(u, t)
""",
    "no_input": "h: state[n]\nh = tanh(W @ h)\n",
    "unicode": "x: input[m]\nh: state[n]\nж = tanh(中文 @ x + λ_й * é)\nh = h + ж\n",
}
