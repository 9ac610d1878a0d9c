"""One module and one SQL file a revision, applied in the order of their numbers."""
