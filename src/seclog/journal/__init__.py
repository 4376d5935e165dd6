"""THE BLACK BOX: line format, segments, writer, reader, recovery, verification of the chain, retention.

Loop 1 uses `line`, `segment` and `writer`; loop 2 and the command line use the rest.
"""
