"""From a Python function to its contract: what its signature, annotations and docstring say.

Read :mod:`altar.later.introspection.introspect` first; the others are its parts.
"""
