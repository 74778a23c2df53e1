"""The one door to Auth0: credentials, transport, pace, and what the tenant answers."""
