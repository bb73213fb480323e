"""Contracts: what a source promises about its events, and the check of that promise."""

from __future__ import annotations

from features.contracts.batch import Rules
from features.contracts.check import Checked, check
from features.contracts.contract import Contract, load_contracts, names
from features.contracts.reasons import Broken

__all__ = ["Broken", "Checked", "Contract", "Rules", "check", "load_contracts", "names"]
