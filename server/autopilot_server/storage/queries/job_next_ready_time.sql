SELECT min((
    SELECT min(ready_time) FROM jobs INDEXED BY jobs_by_readiness
    WHERE state = 1 AND held = 0 AND workflow = json_extract(lane.value, '$[0]') AND suspect = json_extract(lane.value, '$[1]')
)) AS ready_time
FROM json_each(:lanes) AS lane
