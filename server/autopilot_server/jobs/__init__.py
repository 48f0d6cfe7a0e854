"""What a job is: its states, its events, its progress, its errors. Pure: knows no gRPC, no SQL and no LangGraph."""
