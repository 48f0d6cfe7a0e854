"""Where jobs live. The only package that holds SQL."""
