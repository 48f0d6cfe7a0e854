"""The store on Postgres: one writer thread a process, reading connections that all threads share."""
