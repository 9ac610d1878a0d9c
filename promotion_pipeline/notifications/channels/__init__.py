"""Where people are told: one file a channel, and `registry` with one line for each.

Not here: the outbox (that is `notifications`), and words about an event.
"""
