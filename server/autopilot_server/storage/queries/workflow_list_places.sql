-- How many more jobs of each workflow may run now. NULL: any number.
SELECT
    w.value AS workflow,
    CASE WHEN l.jobs IS NOT NULL THEN l.jobs - (
        SELECT count(*) FROM jobs INDEXED BY jobs_owned WHERE run_token IS NOT NULL AND workflow = w.value
    ) END AS places
FROM json_each(:workflows) AS w LEFT JOIN concurrency_limits AS l ON l.workflow = w.value
