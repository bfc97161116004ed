"""Colours and markers of arms, on screen and in print.

Okabe and Ito (2008), told apart with every common kind of colour blindness and in grey; arms differ in their markers as
well.
"""

from __future__ import annotations

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "<", ">", "p", "h", "*")
"""In matplotlib's letters."""
