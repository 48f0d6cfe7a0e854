UPDATE clock SET apart = :apart
