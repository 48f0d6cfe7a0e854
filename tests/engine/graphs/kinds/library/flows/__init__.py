"""Workflows in a package that the langgraph.json makes importable."""
