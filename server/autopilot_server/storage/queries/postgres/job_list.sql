-- The source is one of job_list_by_*: the index that the page is read from.
SELECT j.*
FROM {source}
    AND (j.create_time, j.job_id) < (:after_time, :after_id::text)
    AND (:workflow::text = '' OR j.workflow = :workflow::text)
    AND (
        :patterns::text IS NULL OR EXISTS (
            SELECT 1 FROM json_array_elements_text(:patterns::json) AS p (value)
            WHERE j.workflow LIKE replace(replace(replace(p.value, '_', '\_'), '*', '%'), '?', '_')
        )
    )
    AND (:thread_id::text = '' OR j.thread_id = :thread_id::text)
    AND (:created_after::bigint IS NULL OR j.create_time >= :created_after::bigint)
    AND (:created_before::bigint IS NULL OR j.create_time < :created_before::bigint)
    AND (:finished_before::bigint IS NULL OR j.end_time <= :finished_before::bigint)
    AND NOT EXISTS (
        SELECT 1 FROM json_each_text(:labels::json) AS wanted
        WHERE NOT EXISTS (
            SELECT 1 FROM labels
            WHERE labels.key = wanted.key AND labels.value = wanted.value
                AND labels.create_time = j.create_time AND labels.job_id = j.job_id
        )
    )
ORDER BY {key}.create_time DESC, {key}.job_id DESC
LIMIT :limit
