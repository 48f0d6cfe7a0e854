"""Everything that runs jobs. The only package that imports LangGraph."""
