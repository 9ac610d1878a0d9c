"""The evidence page: server-rendered, without scripts, behind the same guard as the API."""
