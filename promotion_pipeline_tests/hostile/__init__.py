"""The campaign of hostile experiments: drawn at random, let loose beside sound ones, at every door. No tests."""
