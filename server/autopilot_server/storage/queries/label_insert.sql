INSERT INTO labels (key, value, create_time, job_id) VALUES (:key, :value, :create_time, :job_id)
