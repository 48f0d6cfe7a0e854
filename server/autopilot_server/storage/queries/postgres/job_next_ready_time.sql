SELECT min((
    SELECT min(ready_time) FROM jobs
    WHERE state = 1 AND held = 0 AND workflow = lane.value ->> 0 AND suspect = (lane.value ->> 1)::integer
)) AS ready_time
FROM json_array_elements(:lanes::json) AS lane (value)
