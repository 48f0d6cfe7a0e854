-- A PENDING job of a workflow that has a limit, and room.
SELECT j.job_id
FROM concurrency_limits AS l JOIN jobs AS j ON j.state = 1 AND j.held = 0 AND j.workflow = l.workflow
WHERE l.workflow = :workflow AND l.jobs > (
    SELECT count(*) FROM jobs WHERE run_token IS NOT NULL AND workflow = :workflow
)
LIMIT 1
