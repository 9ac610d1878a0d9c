"""The adoption matrix: databases that a team had before us, each taken from adoption to a rollback. No tests."""
