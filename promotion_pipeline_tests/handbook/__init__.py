"""The handbook: reference pages that are made from the code, and links that lead somewhere."""
