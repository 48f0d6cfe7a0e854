SELECT * FROM jobs WHERE run_token IS NOT NULL ORDER BY job_id
