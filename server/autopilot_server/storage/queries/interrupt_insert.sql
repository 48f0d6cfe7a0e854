INSERT INTO interrupts (
    job_id, position, interrupt_id, step, step_run_id, question, value_bytes, response_schema, create_time
)
VALUES (
    :job_id, :position, :interrupt_id, :step, :step_run_id, :question, :value_bytes, :response_schema, :create_time
)
