SELECT * FROM jobs WHERE deadline <= :now ORDER BY deadline
