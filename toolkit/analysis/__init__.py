"""What a tenant's pictures add up to: counts, estimates, findings, headlines. Pure."""
