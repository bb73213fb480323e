"""What is wrong with a document, on one line: the key, and the nearest valid name. Pure."""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel, SecretStr, ValidationError

from cluster.errors import nearest


def one_line(model: type[BaseModel], error: ValidationError) -> str:
    """Return the first problem of a document; no value of a secret is in it."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        return (
            f"unknown key '{'.'.join(place)}': {nearest(place[-1], _fields_at(model, place[:-1]))}"
        )
    shown = f", got {first['input']!r}" if _may_show(model, place, first["type"]) else ""
    return f"'{'.'.join(place) or model.__name__}': {first['msg']}{shown}"


def _may_show(model: type[BaseModel], place: list[str], kind: str) -> bool:
    # The whole of a model holds its secrets, and a secret is never shown, however wrong it is.
    if not place or kind == "missing":
        return False
    field = _model_at(model, place[:-1]).model_fields.get(place[-1])
    hints = (field.annotation, *get_args(field.annotation)) if field is not None else ()
    inner = any(isinstance(hint, type) and issubclass(hint, BaseModel) for hint in hints)
    return SecretStr not in hints and not inner


def _fields_at(model: type[BaseModel], place: list[str]) -> list[str]:
    return list(_model_at(model, place).model_fields)


def _model_at(model: type[BaseModel], place: list[str]) -> type[BaseModel]:
    for name in place:
        field = model.model_fields.get(name)
        hint = field.annotation if field else None
        for inner in (hint, *get_args(hint)):  # a model, or the model in `Model | None`
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return model
