"""Measurements of ALTAR: figures to compare, never to assert.

Each figure is the median of interleaved rounds with its range; processes apart, mTLS on, both commits on.
`python -m bench.run` writes JSON and a table; CPU µs per call and ratios within one run are what to look at.
"""
