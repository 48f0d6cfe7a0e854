SELECT max(create_time) FROM jobs
