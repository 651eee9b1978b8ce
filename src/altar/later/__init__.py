"""LATER: declaring and calling a function in this process.

Read `executor` first: it is what happens when a tool is called, in every mode.
"""
