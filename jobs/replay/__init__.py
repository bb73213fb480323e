"""Decisions made once more: do the same bytes come out?"""
