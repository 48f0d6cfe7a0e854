SELECT batch FROM last_batch
