"""Everything that runs jobs. The only package that imports LangGraph."""

import os

# LangGraph reads this once, when it is imported: checkpoints then restore only the types that the workflow's schemas
# name, and never import a class because a stored byte string names it.
os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
