"""Complex steps through functions with kinks, beside central differences."""

import numpy as np
import pytest

from bptt.analysis.verdicts.code_complex import CONTINUED

POINTS = np.array([-2.5, -0.3, 0.4, 1.7])
OTHER = 0.25
STEP, TINY = 1e-6, 1e-30


@pytest.mark.parametrize("original", CONTINUED, ids=lambda f: f.__name__)
def test_a_complex_step_gives_the_slope_beside_the_kink(original):
    continued = CONTINUED[original]
    more = (OTHER,) if original in (np.logaddexp, np.heaviside) else ()
    slope = (original(POINTS + STEP, *more) - original(POINTS - STEP, *more)) / (2 * STEP)
    found = np.imag(continued(POINTS + 1j * TINY, *more)) / TINY * np.ones_like(POINTS)
    assert np.allclose(found, slope, rtol=1e-8, atol=1e-9)
    assert np.allclose(np.real(continued(POINTS + 0j, *more)), original(POINTS, *more), rtol=1e-15)
