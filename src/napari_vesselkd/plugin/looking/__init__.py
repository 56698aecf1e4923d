"""The Look tab and the dock of the three projections."""
