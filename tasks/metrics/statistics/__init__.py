"""The statistics behind the answers: pure functions of counts, sums and sums of squares, without a database.

They are written out rather than taken from SciPy, whose import alone costs each of our processes 0.4 s and 40 MB
(216 MB on disk) for two distributions; the tests hold every function against SciPy and published examples.
"""
