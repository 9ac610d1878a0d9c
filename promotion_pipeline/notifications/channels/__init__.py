"""Where people are told: one file a channel, and `registry` with one line for each.

Nothing that knows the outbox, and no words about an event belong here.
"""
