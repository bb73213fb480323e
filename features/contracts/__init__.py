"""Contracts: what a source promises about its events, and the check of that promise."""

from __future__ import annotations

from features.contracts.check import Checked, check
from features.contracts.contract import Contract, load_contracts

__all__ = ["Checked", "Contract", "check", "load_contracts"]
