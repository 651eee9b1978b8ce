"""Functions that run in child processes which can be killed.

Read :mod:`altar.later.isolation.processes` first; a child is seen from here in ``child`` and runs ``program``.
"""
