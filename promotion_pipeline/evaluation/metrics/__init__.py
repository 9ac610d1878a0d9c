"""The metrics that an experiment can be decided on."""
