"""The Management API of the sandbox: users, Actions, Rules, jobs, tokens, limits."""
