-- The source is one of job_list_by_*: the index that the page is read from. Its alias is `key`: only when the order
-- is asked of the index itself does SQLite stop at the end of the page, instead of sorting all that matches.
SELECT j.*
FROM {source}
    AND (j.create_time, j.job_id) < (:after_time, :after_id)
    AND (:workflow = '' OR j.workflow = :workflow)
    AND (:patterns IS NULL OR EXISTS (SELECT 1 FROM json_each(:patterns) AS p WHERE j.workflow GLOB p.value))
    AND (:thread_id = '' OR j.thread_id = :thread_id)
    AND (:created_after IS NULL OR j.create_time >= :created_after)
    AND (:created_before IS NULL OR j.create_time < :created_before)
    AND (:finished_before IS NULL OR j.end_time <= :finished_before)
    AND NOT EXISTS (
        SELECT 1 FROM json_each(:labels) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM labels
            WHERE labels.key = wanted.key AND labels.value = wanted.value
                AND labels.create_time = j.create_time AND labels.job_id = j.job_id
        )
    )
ORDER BY {key}.create_time DESC, {key}.job_id DESC
LIMIT :limit
