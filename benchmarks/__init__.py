"""What the server costs, measured against the real server process. `python -m benchmarks` runs all of it."""
