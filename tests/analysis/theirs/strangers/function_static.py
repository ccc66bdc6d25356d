import numpy as np

class Ctx:
    def save_for_backward(self, *args):
        self.saved_tensors = args

class RNNFunction:
    @staticmethod
    def forward(ctx, x, h0, W_ih, W_hh, b):
        hs = []
        h = h0
        for t in range(x.shape[0]):
            h = np.tanh(x[t] @ W_ih.T + h @ W_hh.T + b)
            hs.append(h)
        out = np.stack(hs)
        ctx.save_for_backward(x, h0, out, W_ih, W_hh)
        return out

    @staticmethod
    def backward(ctx, grad_output):
        x, h0, out, W_ih, W_hh = ctx.saved_tensors
        gx = np.zeros_like(x)
        gWih, gWhh, gb = np.zeros_like(W_ih), np.zeros_like(W_hh), np.zeros(W_hh.shape[0])
        gh = np.zeros_like(h0)
        for t in reversed(range(x.shape[0])):
            gz = (grad_output[t] + gh) * (1 - out[t] ** 2)
            prev = out[t - 1] if t else h0
            gWih += gz.T @ x[t]
            gWhh += gz.T @ prev
            gb += gz.sum(0)
            gx[t] = gz @ W_ih
            gh = gz @ W_hh
        return gx, gh, gWih, gWhh, gb
