"""Auth0's export files, read into a snapshot: NDJSON or CSV, gzip or plain."""
