-- What is a span, and no time that somebody chose, keeps its length when the clock is stepped. No job waits longer than
-- it ever had to; one that has begun, not even for its scheduled_time.
UPDATE jobs SET
    ready_time = min(ready_time + :step, :now + iif(next_attempt_time IS NULL, 0, max_backoff)),
    next_attempt_time = min(next_attempt_time + :step, :now + max_backoff)
WHERE state = 1 AND (ready_time IS NOT scheduled_time OR start_time IS NOT NULL) AND (:step <> 0 OR ready_time > :now)
