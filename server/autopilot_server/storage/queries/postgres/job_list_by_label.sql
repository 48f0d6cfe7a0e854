labels AS l JOIN jobs AS j ON j.job_id = l.job_id
WHERE l.key = :label_key AND l.value = :label_value
    AND (l.create_time, l.job_id) < (:after_time, :after_id::text)
    AND (:state::integer IS NULL OR j.state = :state::integer)
