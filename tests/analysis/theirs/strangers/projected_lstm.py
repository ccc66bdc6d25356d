import numpy as np

def _s(x): return 1/(1+np.exp(-x))

def lstmp_forward(x, r0, c0, W, R, b, P):
    """LSTM with a recurrent projection r = m P.  x (T,B,D), W (4H,D), R (4H,Pn), P (Pn,H). order i o f g"""
    T, B, D = x.shape
    H = c0.shape[1]
    r, c = r0, c0
    rs, tape = [], []
    for t in range(T):
        a = x[t] @ W.T + r @ R.T + b
        i, o, f = _s(a[:, :H]), _s(a[:, H:2*H]), _s(a[:, 2*H:3*H])
        g = np.tanh(a[:, 3*H:])
        c_new = f*c + i*g
        m = o*np.tanh(c_new)
        r_new = m @ P.T
        tape.append(dict(x=x[t], r=r, c=c, i=i, o=o, f=f, g=g, c_new=c_new, m=m))
        r, c = r_new, c_new
        rs.append(r)
    return np.stack(rs), tape

def lstmp_backward(dr_all, tape, W, R, b, P):
    dW, dR, db, dP = map(np.zeros_like, (W, R, b, P))
    dx = []
    dr, dc = 0, 0
    for t, s in reversed(list(enumerate(tape))):
        dr = dr_all[t] + dr
        dP += dr.T @ s['m']
        dm = dr @ P
        th = np.tanh(s['c_new'])
        dc = dc + dm*s['o']*(1-th**2)
        da = np.hstack((dc*s['g']*s['i']*(1-s['i']),
                        dm*th*s['o']*(1-s['o']),
                        dc*s['c']*s['f']*(1-s['f']),
                        dc*s['i']*(1-s['g']**2)))
        dW += da.T @ s['x']
        dR += da.T @ s['r']
        db += da.sum(axis=0)
        dx.append(da @ W)
        dr = da @ R
        dc = dc*s['f']
    return np.array(dx[::-1]), dr, dc, dW, dR, db, dP
