"""The file of users: write, read, query, compare, share."""
