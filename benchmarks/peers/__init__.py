"""W as the users of each peer would write it, all in the same run: `python -m benchmarks.peers`."""
