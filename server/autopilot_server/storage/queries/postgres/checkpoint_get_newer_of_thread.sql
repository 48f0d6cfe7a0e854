-- What a job that was deleted since has added to the thread behind a job's newest checkpoint, or after a job that has none.
SELECT 1 FROM checkpoints
WHERE thread_id = :thread_id AND checkpoint_ns = '' AND job_id IS NULL AND checkpoint_id > :checkpoint_id::text
    AND (:checkpoint_id::text <> '' OR create_time > :create_time)
LIMIT 1
