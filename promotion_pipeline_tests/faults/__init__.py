"""The fault campaign: acts are killed, cut off, raced and stopped, and what is left is judged. No tests."""
