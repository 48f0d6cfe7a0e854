SELECT json_extract(:json, :path)
