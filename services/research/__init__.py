"""Research on bars: backtests, parameter searches, and statistics that say when a result is luck.

Nothing here trades. It is the only part of the tree that uses numpy, numba and pyarrow (the extra
``research``, docs/adr/0011); ``arb backtest`` and ``arb optimize`` run it as a program of its own.
"""
