SELECT * FROM jobs WHERE expire_time <= :now ORDER BY expire_time LIMIT :limit
