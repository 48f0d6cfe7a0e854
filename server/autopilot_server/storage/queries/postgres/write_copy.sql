-- All but answers, and at the checkpoint that is forked what an edit of it wrote: LangGraph keeps that there, in the
-- name of the step that it is attributed to, as if that had finished.
INSERT INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value)
SELECT :to_thread::text, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, value
FROM writes
WHERE thread_id = :thread_id AND checkpoint_ns = :checkpoint_ns AND checkpoint_id = :checkpoint_id
    AND channel <> '__resume__'
    AND NOT (:without_edits::boolean AND starts_with(task_path, '~__interrupt__'))
