"""Statistics that nothing of the product calls yet: golden rows hold them to other people's numbers.

Not here: what the evaluation, the watch or a report uses; a function that gets its first caller moves one room up.
"""
