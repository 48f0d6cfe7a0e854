"""Everything that knows gRPC. The only package that imports it and the generated code."""
