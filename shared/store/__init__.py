"""The store of market data: raw frames are the truth, everything else is derived from them.

``raw/venue=V/date=D/hour=H/`` holds what was received, ``depth|trade|funding|bar/venue=V/
instrument=I/date=D/`` what was made of it or imported as a table. Every Parquet file has a manifest
beside it. Files appear whole or not at all; see docs/data.md.
"""
