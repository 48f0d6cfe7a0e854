"""How the server's figures grow: with workers, nodes, the size of the state, the length of a job, and watchers.
`python -m benchmarks.growth` measures all of it."""
