SELECT to_regclass('autopilot_schema') IS NOT NULL AS is_ours, to_regclass('jobs') IS NOT NULL AS is_taken
