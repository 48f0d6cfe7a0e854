-- What is a span, and no time that somebody chose, keeps its length when the clock is stepped. No job waits longer than
-- it ever had to; one that has begun, not even for its scheduled_time.
UPDATE jobs SET
    ready_time = least(
        ready_time + :step::bigint, :now::bigint + CASE WHEN next_attempt_time IS NULL THEN 0 ELSE max_backoff END
    ),
    next_attempt_time = CASE WHEN next_attempt_time IS NOT NULL THEN
        least(next_attempt_time + :step::bigint, :now::bigint + max_backoff)
    END
WHERE state = 1 AND (ready_time IS DISTINCT FROM scheduled_time OR start_time IS NOT NULL)
    AND (:step::bigint <> 0 OR ready_time > :now::bigint)
