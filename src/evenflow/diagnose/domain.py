"""Whether the first value that is not finite came of numbers that had grown too large, or of one operation's domain.

exp(x) overflows single precision beyond 88.7, and a product beyond 3.4e38; an operation that takes numbers of ordinary
size and gives NaN or infinity was evaluated where it is not defined (log 0, 0/0, the slope of a root at 0), and no
learning rate, weights or gradients brought that about.
"""

from __future__ import annotations

import math

from evenflow.spec.setting import Setting

ORDINARY = 88.0
"""What exp(x) holds in single precision; a softmax of such logits has said all that it can."""
_MASK = -1e3
"""Below this a number beside ordinary ones says "not here", as the masks of attention do."""


def outside_its_domain(setting: Setting) -> bool:
    """Whether what made the first value that is not finite took nothing but numbers of ordinary size.

    >>> outside_its_domain(Setting(origin="forward: aten::log", origin_lowest=0.0, origin_highest=3.1))
    True
    >>> outside_its_domain(Setting(origin="forward: aten::addmm", origin_lowest=-8e16, origin_highest=2e26))
    False
    """
    low, high = setting.origin_lowest, setting.origin_highest
    if not setting.origin or math.isnan(low) or math.isnan(high):
        return False
    return abs(high) <= ORDINARY and (low >= -ORDINARY or low < _MASK)
