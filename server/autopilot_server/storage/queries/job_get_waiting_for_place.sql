-- A PENDING job of a workflow that has a limit, and room.
SELECT j.job_id
FROM concurrency_limits AS l CROSS JOIN jobs AS j INDEXED BY jobs_by_readiness
    ON j.state = 1 AND j.held = 0 AND j.workflow = l.workflow
WHERE l.workflow = :workflow AND l.jobs > (
    SELECT count(*) FROM jobs INDEXED BY jobs_owned WHERE run_token IS NOT NULL AND workflow = :workflow
)
LIMIT 1
