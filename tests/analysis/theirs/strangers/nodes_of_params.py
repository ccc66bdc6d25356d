import numpy as np

def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))

class Params:
    def __init__(self, n, m):
        rng = np.random.RandomState(1)
        self.wg, self.wi, self.wf, self.wo = (rng.uniform(-0.1, 0.1, (n, n + m)) for _ in range(4))
        self.bg, self.bi, self.bf, self.bo = (rng.uniform(-0.1, 0.1, n) for _ in range(4))
        self.clear()

    def clear(self):
        for name in ("wg", "wi", "wf", "wo", "bg", "bi", "bf", "bo"):
            setattr(self, name + "_diff", np.zeros_like(getattr(self, name)))

class Node:
    def __init__(self, params):
        self.p = params

    def forward(self, x, s_prev, h_prev):
        self.s_prev, self.h_prev = s_prev, h_prev
        self.xc = np.hstack((x, h_prev))
        p = self.p
        self.g = np.tanh(p.wg @ self.xc + p.bg)
        self.i = sigmoid(p.wi @ self.xc + p.bi)
        self.f = sigmoid(p.wf @ self.xc + p.bf)
        self.o = sigmoid(p.wo @ self.xc + p.bo)
        self.s = self.g * self.i + s_prev * self.f
        self.h = self.s * self.o
        return self.h

    def backward(self, top_h, top_s):
        p = self.p
        ds = self.o * top_h + top_s
        do = self.s * top_h
        di, dg, df = self.g * ds, self.i * ds, self.s_prev * ds
        di_in = self.i * (1 - self.i) * di
        df_in = self.f * (1 - self.f) * df
        do_in = self.o * (1 - self.o) * do
        dg_in = (1 - self.g ** 2) * dg
        p.wi_diff += np.outer(di_in, self.xc)
        p.wf_diff += np.outer(df_in, self.xc)
        p.wo_diff += np.outer(do_in, self.xc)
        p.wg_diff += np.outer(dg_in, self.xc)
        p.bi_diff += di_in
        p.bf_diff += df_in
        p.bo_diff += do_in
        p.bg_diff += dg_in
        dxc = p.wi.T @ di_in + p.wf.T @ df_in + p.wo.T @ do_in + p.wg.T @ dg_in
        m = len(self.xc) - len(self.h_prev)
        self.bottom_s = ds * self.f
        self.bottom_h = dxc[m:]

def gradients(params, xs, targets):
    n = len(params.bg)
    nodes, s, h = [], np.zeros(n), np.zeros(n)
    for x in xs:
        node = Node(params)
        node.forward(x, s, h)
        s, h = node.s, node.h
        nodes.append(node)
    loss = 0.5 * sum(np.sum((node.h - y) ** 2) for node, y in zip(nodes, targets))
    params.clear()
    dh, ds = np.zeros(n), np.zeros(n)
    for node, y in zip(reversed(nodes), reversed(targets)):
        node.backward(node.h - y + dh, ds)
        dh, ds = node.bottom_h, node.bottom_s
    return loss, {name: getattr(params, name + "_diff") for name in ("wg", "wi", "wf", "wo", "bg", "bi", "bf", "bo")}
