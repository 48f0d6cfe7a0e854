-- Running means over one more job.
INSERT INTO workflow_statistics (name, revision, jobs, mean_steps, mean_elapsed)
VALUES (:name, :revision, 1, :steps, :elapsed)
ON CONFLICT (name, revision) DO UPDATE SET
    jobs = jobs + 1,
    mean_steps = mean_steps + (excluded.mean_steps - mean_steps) / (jobs + 1),
    mean_elapsed = mean_elapsed + (excluded.mean_elapsed - mean_elapsed) / (jobs + 1)
