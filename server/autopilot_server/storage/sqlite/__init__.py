"""The store on SQLite: one file, one writer thread a process, readers on any thread."""
