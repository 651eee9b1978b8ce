"""Layer 1, the ALTAR Data Model: declarations, calls, results, schemas, errors and canonical JSON.

Everything here is data that can check itself.
It imports nothing else of ALTAR, and importing it loads no heavy library.
"""
