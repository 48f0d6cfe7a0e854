"""What makes and checks a release: see the Makefile."""
