INSERT INTO workflows (name, descriptor) VALUES (:name, :descriptor)
