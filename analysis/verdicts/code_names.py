"""What names suggest: an order in which to try things, and a tie-breaker. Values decide."""

from __future__ import annotations

import re
from functools import cache

ROLES = (  # of an argument of a forward pass
    (r"(ctx|context|self_)", "object"),
    (
        r"(n_?)?(hidden|input|output|vocab|state|embedding)_?(size|dim|units|n)|n_?(h|x|a|in|out|hidden)|"
        r"units|neurons|dim|width|"
        r"T|[nN]|((n|num|number_of)_?)?(steps|iter(ation)?s?)|seq(uence)?_?len(gth)?|length|horizon|duration",
        "size",
    ),
    (r"(x|xs|xt|x_?t|x_?seq|inputs?|seq(uence)?s?|data|embeddings?|X|Xs|inp|input_seq|signal)", "input"),
    (r"(in(put)?_?)?(tok(en)?s?|tok(en)?_?ids?|ids|idx|idxs|indices|chars|words|text)", "input"),
    (
        r"(h|c|a|s|hc|hx|cx|cell|hidden|state)s?(_?(0|prev|init|initial|start|old|t0|tm1|t_1|last))?|"
        r"(init(ial)?|prev|start|old|last)(_?(states?|h|c|a|s|hidden|cell|memory))?|(h|c|a|s)prev",
        "state",
    ),
    (r"(initial_)?(hidden|cell|memory)(_?state)?(_?(0|prev|init))?", "state"),
    (r"[ac-tv-zA-TX-Z][a-z]?(_?0|_init|_?prev)", "state"),
    (r"(y|ys|targets?|tgts?|labels?|lbls?|Y|Ys|y_?(true|target|gold|label)s?|truth|gold|expected|desired)", "target"),
    (r"(\w+_)?(mask|masks|msk)|valid|keep|present", "mask"),
    (r"(p|params?|parameters|weights|theta|wts|P|ws|net|model)", "group"),
)
TIMES = r"_?(prev|previous|old|last|next|now|cur|curr|current|new|tm1|tp1|t)$"  # ends of names of values of a step
LENGTHS = r"T|[nN]|.*(steps|iter(ation)?s?|len(gth)?|horizon|duration)"  # names of a number of steps
GROUPS = r"g|gr|grads?|gradients?|\w+_(grads?|gradients?)"  # names of several gradients
KINDS = (  # of a parameter
    (r"(b|bias).*(y|ya|out|dec|readout|logit)\d?", "readout bias"),
    (r".*(y|ya)\d?|V\d?|.*(out|dec|readout|logit).*|c", "readout"),
    (r"(w_?)?(b|bias|beta).*", "bias"),
    (r".*(ih|i2h|input|kernel_x|_x|xh|x|_i\d?$).*", "x"),
    (r"U.*|R.*|.*(hh|h2h|rec|_h|h|aa).*", "h"),
)


def role(name: str) -> str:
    """Return what an argument's name suggests; "param" where it suggests nothing else.

    >>> role("h0"), role("Wx"), role("params"), role("xs")
    ('state', 'param', 'group', 'input')
    """
    return next((role for pattern, role in ROLES if re.fullmatch(pattern, name)), "param")


def is_length(name: str) -> bool:
    """Return whether a number's name suggests that it counts steps.

    >>> is_length("n_steps"), is_length("hidden_size")
    (True, False)
    """
    return re.fullmatch(LENGTHS, name) is not None


def kind(name: str) -> str:
    """Return what a parameter's name suggests.

    >>> [kind(name) for name in ("W_hh", "Wxh", "Uz", "bias_ih", "Why", "Wf")]
    ['h', 'x', 'h', 'bias', 'readout', 'plain']
    """
    return next((kind for pattern, kind in KINDS if re.fullmatch(pattern, name)), "plain")


def plain(name: str) -> str:
    """Return a gradient's name without what says that it is one, for comparison with the names of what was given.

    >>> plain("dWxh"), plain("grad_b_z"), plain("dprev_h0"), plain("W_ih.grad"), plain("dx")
    ('wxh', 'bz', 'prevh0', 'wih', 'x')
    """
    bare = re.sub(r"\.grad$|_grad$|^grads?_|^g_|^delta_?|^d_|^d(?=[A-Za-z])", "", name)
    return re.sub(r"[^a-z0-9]", "", bare.lower())


def is_gradients(name: str) -> bool:
    """Return whether a name says that it is a gradient's, or of a group of them.

    >>> is_gradients("dxt"), is_gradients("xt"), is_gradients("grads")
    (True, False, True)
    """
    return plain(name) != re.sub(r"[^a-z0-9]", "", name.lower()) or re.fullmatch(GROUPS, name) is not None


def is_of_other_time(one: str, other: str) -> bool:
    """Return whether two names or entries speak of one quantity at different steps; of gradients, entries alone.

    >>> is_of_other_time("hs[t]", "hs[t - 1]"), is_of_other_time("x_prev", "x"), is_of_other_time("f", "i")
    (True, True, False)
    >>> is_of_other_time("dh_next", "dh"), is_of_other_time("s['f']", "s['i']")
    (False, False)
    """
    keys = [re.findall(r"\[['\"]\w+['\"]\]", text) for text in (one, other)]
    if one[0] in "dg" and "[" not in one or keys[0] != keys[1]:
        return False
    bare = [re.sub(TIMES, "", text.split("[")[0]) for text in (one, other)]
    return bool(bare[0]) and bare[0] == bare[1]


@cache
def alike(gradient: str, name: str) -> int:
    """Return how well a gradient's name goes with a name: 3 the same, 2 nearly, 1 the first letter, 0 not at all.

    >>> alike("dWx", "Wx"), alike("gu", "u"), alike("dh_next", "h"), alike("dz", "r")
    (3, 3, 2, 0)
    >>> alike("dh", "hs[t]"), alike("dh", "hs[t - 1]")
    (2, 1)
    """
    gradient, name = (re.sub(r"\[[A-Za-z_]\w*\]", "", text) for text in (gradient, name))  # at this step
    if re.match(r"g[A-Za-z]", gradient) and not re.match(r"g(rad|_)", gradient):
        return max(alike(gradient[1:], name), alike(f"d{gradient}", name))
    left, right = plain(gradient), re.sub(r"[^a-z0-9]", "", name.lower())
    if left == right:
        return 3
    shed = [re.sub(r"(next|prev|last|final|new|seq|0|s$|t$)", "", text) for text in (left, right)]
    if shed[0] and shed[0] == shed[1]:
        return 2
    return int(bool(left) and left[:1] == right[:1])
