-- Until the commit nobody else claims jobs of these workflows, of those that have a limit.
SELECT pg_advisory_xact_lock(hashtextextended(chr(31) || limited.workflow, 0)) FROM (
    SELECT l.workflow FROM json_array_elements_text(:workflows::json) AS w (value)
        JOIN concurrency_limits AS l ON l.workflow = w.value
    WHERE l.jobs IS NOT NULL
    ORDER BY l.workflow
) AS limited
