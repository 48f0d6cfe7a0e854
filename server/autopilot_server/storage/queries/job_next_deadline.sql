SELECT min(deadline) FROM jobs WHERE deadline IS NOT NULL
