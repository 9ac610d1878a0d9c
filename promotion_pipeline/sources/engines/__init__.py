"""The engines that are run here: each knows the log's columns, runs a query and gives back an Arrow table."""
