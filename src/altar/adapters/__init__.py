"""Tools of other frameworks as ALTAR tools, and ALTAR tools as theirs: one module each, which loads its framework."""
