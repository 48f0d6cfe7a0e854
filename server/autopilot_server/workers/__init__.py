"""Processes that run jobs, apart from the server's own: what they do cannot hurt it.

The server starts a fork server, which loads the workflows once; workers are forked from it. Each opens the database by
itself, and tells the server what it has committed.
"""
