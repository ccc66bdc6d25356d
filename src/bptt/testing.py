"""Helpers for tests: assertions whose message is the diagnosis."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .analysis.verdicts.verdict import Verdict
    from .derive import Cell


def assert_gradients(
    theirs: str | os.PathLike[str] | Callable[..., Any], cell: str | Cell | None = None, **options: Any
) -> Verdict:
    """Fail where a hand-derived backward pass is wrong, with the verdict as the message.

    Args:
        theirs: formulas, LaTeX or code, as `bptt.check` takes them.
        cell: whose backward pass it is.
        options: of `bptt.check`.

    Returns:
        The verdict, where everything is right.

    Raises:
        AssertionError: saying which line is wrong, why, and the mended line.
        Error: where what is given can't be judged.

    >>> assert_gradients("dh = dh_out + dh_next\\nda_h = dh * (1 - h**2)\\ndh_prev = W_hh.T @ da_h", "rnn").correct
    True
    """
    __tracebackhide__ = True
    from .analysis.verdicts.check import check

    verdict = check(theirs, cell, **options)
    if not verdict.correct:
        raise AssertionError(str(verdict))
    return verdict
