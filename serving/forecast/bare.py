"""How kernels are compiled that make no array of their own.

numba counts who refers to an array, and a state is made of some fifty: each call that hands it on
would cost about a microsecond, many times what a contact takes. What makes no array needs no count.
Functions of one unit are inlined, since else all those arrays would go by the stack for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import overload

BARE: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "_nrt": False,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",  # nothing is divided by what may be nought
}
# what is not called from Python
INNER: dict[str, Any] = BARE | {"no_cpython_wrapper": True}
_zeros: Any = trailing_zeros


def lowest(bits: np.uint64) -> int:
    """Return the place of the lowest bit set, of at least one: compiled, one instruction."""
    return (int(bits) & -int(bits)).bit_length() - 1


@overload(lowest)
def _lowest(bits: np.uint64) -> Callable[[np.uint64], int]:
    def compiled(bits: np.uint64) -> int:
        return int(np.int64(_zeros(bits)))  # of 64 signed bits: else sums with others are floats

    return compiled
