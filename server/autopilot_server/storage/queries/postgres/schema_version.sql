SELECT version FROM autopilot_schema
