"""What can go wrong at a tenant, on request: one catalogue, and what does it."""
