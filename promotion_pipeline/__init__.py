"""Decides A/B experiments every hour and promotes the winner, with evidence, history and rollback."""
