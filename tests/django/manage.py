#!/usr/bin/env python
"""A server that speaks docs/seed-api.md, as a team would have built it on Django.

The code of the original is not at hand. This is ours: what that page documents, with its spelling,
on the tables that the page lets one guess. tests/e2e/migrating.rs moves it to netrox-chat and back.
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "original.settings")
    execute_from_command_line(sys.argv)
