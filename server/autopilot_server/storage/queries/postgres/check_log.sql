-- Logs that are not 1, 2, 3 … up to the newest event that the job's row names.
SELECT j.job_id AS subject, count(e.sequence) || ' events up to ' || coalesce(max(e.sequence), 0) || ', its row says '
    || j.latest_sequence AS detail
FROM jobs AS j LEFT JOIN events AS e ON e.job_id = j.job_id
GROUP BY j.job_id
HAVING count(e.sequence) <> j.latest_sequence OR coalesce(max(e.sequence), 0) <> j.latest_sequence
