SELECT workflow, state, count(*) AS jobs FROM jobs INDEXED BY jobs_by_workflow GROUP BY workflow, state
