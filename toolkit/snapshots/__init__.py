"""The file of users: written, read, queried, compared, shared."""
