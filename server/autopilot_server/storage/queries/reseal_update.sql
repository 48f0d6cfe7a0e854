UPDATE {table} SET {changes} WHERE {key}
