UPDATE last_batch SET batch = :batch
