"""Faults for the Python client, one for each check: a check that its fault passes checks nothing."""

from . import incoming, living, outgoing
from .tools import FAULTS

__all__ = ["FAULTS", "incoming", "living", "outgoing"]
