-- Answers to questions that are not open any more.
DELETE FROM answers
WHERE job_id = :job_id AND interrupt_id NOT IN (SELECT interrupt_id FROM interrupts WHERE job_id = :job_id)
