"""Consent: who may not be scored, as it is known now, kept up with the log and with arrivals."""

from __future__ import annotations

from features.consent.keeper import Keeper, Unchecked
from features.consent.ledger import Ledger
from features.consent.terms import Terms, load_terms
from features.consent.words import KIND, Word

__all__ = ["KIND", "Keeper", "Ledger", "Terms", "Unchecked", "Word", "load_terms"]
