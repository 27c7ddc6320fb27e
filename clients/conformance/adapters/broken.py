"""Faults for the Python client, one for each check: what a check cannot see it does not check."""

FAULTS = {}
