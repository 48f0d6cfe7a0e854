-- A job's state and the ends of its log; `oldest` is NULL when the log is empty.
SELECT state, latest_sequence, (SELECT min(sequence) FROM events WHERE job_id = :job_id) AS oldest, workflow,
    create_time
FROM jobs
WHERE job_id = :job_id
