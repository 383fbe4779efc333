"""`bestex verify`: what must hold of every log, proven from the outside.

Nothing here uses the code that made the log (`streams.domain`): the fold, the state table, the arithmetic of money and the hash are
written a second time, so that a mistake in one is found by the other.
"""
