-- How many more jobs of each workflow may run now. NULL: any number.
SELECT
    w.value AS workflow,
    CASE WHEN l.jobs IS NOT NULL THEN l.jobs - (
        SELECT count(*) FROM jobs WHERE run_token IS NOT NULL AND workflow = w.value
    ) END AS places
FROM json_array_elements_text(:workflows::json) AS w (value) LEFT JOIN concurrency_limits AS l ON l.workflow = w.value
