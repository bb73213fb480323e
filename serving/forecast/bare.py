"""How kernels are compiled that make no array of their own.

numba counts who refers to an array, and a state is made of some fifty: each call that hands it on
would cost about a microsecond, many times what a contact takes. What makes no array needs no count.
Functions of one unit are inlined, since else all those arrays would go by the stack for each.
"""

from __future__ import annotations

from typing import Any

BARE: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "_nrt": False,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",  # nothing is divided by what may be nought
}
# what is not called from Python
INNER: dict[str, Any] = BARE | {"no_cpython_wrapper": True}
