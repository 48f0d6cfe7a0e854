-- Questions that no stored answer waits for.
SELECT * FROM interrupts AS i
WHERE job_id = :job_id
    AND NOT EXISTS (SELECT 1 FROM answers AS a WHERE a.job_id = i.job_id AND a.interrupt_id = i.interrupt_id)
ORDER BY position
