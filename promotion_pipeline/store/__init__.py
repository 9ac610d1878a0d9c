"""PostgreSQL: tables, migrations, the embedded server, frames in and out."""
