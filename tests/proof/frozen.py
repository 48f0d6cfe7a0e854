"""Imported last by the process that servers are forked from. Their garbage collections pass by what it has imported:
to go through that costs half of a start, and a copy of each page."""

import gc

gc.freeze()
