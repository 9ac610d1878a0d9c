"""Where a split is served: who gets which variant, the systems that serve it, and whether they do.

`allocation` and `flags` are pure; `serving` answers evaluations from memory, `export` writes them for flagd.

Not here: whether a split should change; that is decided in `promotion`.
"""
