SELECT job_id, input, context, output FROM payloads WHERE job_id = :job_id
