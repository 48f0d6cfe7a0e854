SELECT min(deadline) AS deadline, (SELECT apart FROM clock) AS apart FROM jobs WHERE deadline IS NOT NULL
