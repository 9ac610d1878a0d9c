"""A team's own tables: whether they can be adopted, taking them over, and who needs which rights.

Not here: what is done with the rows once they are adopted.
"""
