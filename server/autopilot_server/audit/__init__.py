"""The audit: who asked for what that changes jobs, when, from where, and what was answered. See docs/operations.md."""

METHODS = ("SubmitJob", "Cancel", "Resume", "DeleteJob", "PruneJobs")
"""Those that are audited: all that change anything."""
