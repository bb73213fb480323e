"""Which forms of a test are ordinary, and which run in a drill alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable


def mostly(forms: Iterable[Any], ordinary: int = 1) -> list[Any]:
    """Return the forms of a test for `parametrize`: the first ones, and the others in a drill."""
    every = list(forms)
    late = [_late(form) for form in every[ordinary:]]
    return [*every[:ordinary], *late]


def _late(form: Any) -> Any:
    values = form if isinstance(form, tuple) else (form,)
    return pytest.param(*values, marks=pytest.mark.drill)
