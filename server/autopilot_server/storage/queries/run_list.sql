SELECT job_id, run_token, state FROM jobs WHERE run_token IS NOT NULL AND worker_id = :worker_id
