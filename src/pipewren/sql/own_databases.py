"""Names of the server's own databases, which no statement of anybody's may name or give: those of
workspaces and their deployments, `w_imports` (ingest/scratch.py) and `w_usage` (usage/tables.py).
"""

from __future__ import annotations

OWN_DATABASES = r"w_(?:[0-9a-f]{6,}(?:_d\d+)?|imports|usage)"  # a regular expression
