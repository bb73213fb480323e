"""Files of configs as mappings, or why they are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from cluster.errors import WrongUse, nearest

if TYPE_CHECKING:
    from pathlib import Path


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; WrongUse when it is missing or not a mapping."""
    return mapping(read_text(path), path)


def read_text(path: Path) -> str:
    """Return the text of a configuration file; WrongUse when it is missing."""
    if not path.is_file():
        there = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise WrongUse(
            f"a configuration file must exist, got '{path}': {nearest(path.name, there)}"
        )
    return path.read_text(encoding="utf-8")


def mapping(text: str, path: Path) -> dict[str, Any]:
    """Return the mapping that the text of a YAML file says; WrongUse when it says none."""
    try:
        document = _said(text)
    except yaml.YAMLError as error:
        raise WrongUse(f"'{path}' must be YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise WrongUse(f"'{path}' must hold a mapping, got {type(document).__name__}")
    return document


def _said(text: str) -> Any:
    """Return what a YAML text says, read by libyaml where it is there: in a tenth of the time."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
