"""Every user of a tenant, provably: by search, by export job, from export files."""
