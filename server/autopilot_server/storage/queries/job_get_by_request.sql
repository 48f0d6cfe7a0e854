SELECT * FROM jobs WHERE request_id = :request_id
