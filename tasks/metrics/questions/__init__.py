"""Answers about models, from rollups: performance, time series, leaderboard, comparisons, recommendations.

``window`` picks the rollups, ``store`` reads them, ``summary`` is what they add up to; ``comparison``, ``scoring``
and ``recommendation`` judge it; ``service`` is what callers use.
"""
