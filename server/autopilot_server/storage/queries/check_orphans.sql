-- What belongs to jobs and threads that are not there.
SELECT job_id AS subject, 'events' AS detail FROM events WHERE job_id NOT IN (SELECT job_id FROM jobs) GROUP BY job_id
UNION
SELECT job_id, 'input and output' FROM payloads WHERE job_id NOT IN (SELECT job_id FROM jobs)
UNION
SELECT job_id, 'labels' FROM labels WHERE job_id NOT IN (SELECT job_id FROM jobs)
UNION
SELECT job_id, 'questions' FROM interrupts WHERE job_id NOT IN (SELECT job_id FROM jobs)
UNION
SELECT job_id, 'answers' FROM answers WHERE job_id NOT IN (SELECT job_id FROM jobs)
UNION
SELECT job_id, 'requests' FROM resume_requests WHERE job_id NOT IN (SELECT job_id FROM jobs)
UNION
SELECT thread_id, 'checkpoints of a thread' FROM checkpoints WHERE thread_id NOT IN (SELECT thread_id FROM jobs)
UNION
SELECT thread_id, 'writes of a thread' FROM writes WHERE thread_id NOT IN (SELECT thread_id FROM jobs)
UNION
SELECT thread_id, 'writes of a checkpoint' FROM writes AS w
WHERE thread_id IN (SELECT thread_id FROM jobs) AND NOT EXISTS (
    SELECT 1 FROM checkpoints AS c
    WHERE c.thread_id = w.thread_id AND c.checkpoint_ns = w.checkpoint_ns AND c.checkpoint_id = w.checkpoint_id
)
