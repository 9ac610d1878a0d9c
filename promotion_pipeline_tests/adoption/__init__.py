"""Databases that a team had before us."""
