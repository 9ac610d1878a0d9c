"""Where a split is served: who gets which variant, the systems that serve it, and whether they do.

Not here: whether a split should change; that is decided in `promotion`.
"""
