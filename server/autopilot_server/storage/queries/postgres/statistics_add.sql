-- Running means over one more job.
INSERT INTO workflow_statistics AS s (name, revision, jobs, mean_steps, mean_elapsed)
VALUES (:name, :revision, 1, :steps, :elapsed)
ON CONFLICT (name, revision) DO UPDATE SET
    jobs = s.jobs + 1,
    mean_steps = s.mean_steps + (excluded.mean_steps - s.mean_steps) / (s.jobs + 1),
    mean_elapsed = s.mean_elapsed + (excluded.mean_elapsed - s.mean_elapsed) / (s.jobs + 1)
