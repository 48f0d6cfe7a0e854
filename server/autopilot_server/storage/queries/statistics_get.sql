SELECT jobs, mean_steps, mean_elapsed FROM workflow_statistics
WHERE name = :name AND revision = :revision
