"""PostgreSQL: tables, migrations, the embedded server, frames in and out.

Not here: what a table means: that belongs to the room that writes it.
"""
