-- Rows behind a key that have a value which is not as it is wanted. Names of tables and columns are constants of
-- resealing.py.
SELECT {names} FROM {table}
WHERE ({keys}) > ({after}) AND ({wanted})
ORDER BY {keys}
LIMIT :limit
