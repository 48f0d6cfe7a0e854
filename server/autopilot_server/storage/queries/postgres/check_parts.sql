-- Jobs without the row of their payloads, or with other questions, answers or labels than their row says.
SELECT job_id AS subject, 'input and output' AS detail FROM jobs WHERE job_id NOT IN (SELECT job_id FROM payloads)
UNION ALL
SELECT job_id, 'questions' FROM jobs AS j
WHERE questions <> (SELECT count(*) FROM interrupts AS i WHERE i.job_id = j.job_id)
UNION ALL
SELECT DISTINCT job_id, 'answers' FROM answers AS a
WHERE EXISTS (SELECT 1 FROM jobs AS j WHERE j.job_id = a.job_id) AND NOT EXISTS (
    SELECT 1 FROM interrupts AS i WHERE i.job_id = a.job_id AND i.interrupt_id = a.interrupt_id
)
UNION ALL
SELECT job_id, 'labels' FROM jobs AS j
WHERE (SELECT count(*) FROM json_each_text(j.labels::json)) <> (
    SELECT count(*) FROM json_each_text(j.labels::json) AS l JOIN labels AS i
        ON i.key = CASE WHEN j.tenant = '' THEN l.key ELSE j.tenant || chr(31) || l.key END
        AND i.value = l.value AND i.create_time = j.create_time AND i.job_id = j.job_id
)
