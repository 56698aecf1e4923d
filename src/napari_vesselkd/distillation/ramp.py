"""How a term's weight grows during training."""

from __future__ import annotations

import math


def ramp(step: int, steps: int, share: float) -> float:
    """Return ``exp(-5 (1 - min(t/T, 1))^2)`` with T = `share` of `steps`: e^-5 at step 0, 1 from T on.

    Laine and Aila 2017 (arXiv 1610.02242, section 2.2 and appendix A), Gaussian ramp-up.
    """
    length = share * steps
    progress = 1.0 if length <= 0 else min(step / length, 1.0)
    return math.exp(-5 * (1 - progress) ** 2)
