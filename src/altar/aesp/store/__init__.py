"""The database of administration: tenants, people, roles, keys; on SQLite or on PostgreSQL.

`tables.py` says what is kept, `database.py` gives transactions on it, `migrations/` brings an older one forward,
`people.py` changes people and groups, `backup.py` copies all of it.
The record of calls is not here: that is the ledger.
"""

from __future__ import annotations
