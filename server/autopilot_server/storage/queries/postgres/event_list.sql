-- No further than a page goes; one more than fits, which tells that it is full.
SELECT job_id, sequence, body, has_payload FROM (
    SELECT *, sum(octet_length(body)) OVER (ORDER BY sequence) - octet_length(body) AS bytes_before FROM (
        SELECT * FROM events WHERE job_id = :job_id AND sequence > :after ORDER BY sequence LIMIT :limit
    ) AS next
) AS page
WHERE bytes_before <= :max_bytes
ORDER BY sequence
