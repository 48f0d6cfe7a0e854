-- The first of each lane, from its own place in the index, and of those the first of all.
SELECT j.* FROM (
    SELECT c.job_id, c.ready_time
    FROM json_each(:lanes) AS lane CROSS JOIN jobs AS c ON c.job_id IN (
        SELECT job_id FROM jobs INDEXED BY jobs_to_claim
        WHERE state = 1 AND held = 0 AND priority = :priority AND ready_time <= :now
            AND workflow = json_extract(lane.value, '$[0]') AND suspect = json_extract(lane.value, '$[1]')
        ORDER BY ready_time, job_id
        LIMIT :limit
    )
    ORDER BY c.ready_time, c.job_id
    LIMIT :limit
) AS first CROSS JOIN jobs AS j ON j.job_id = first.job_id
ORDER BY first.ready_time, first.job_id
