"""Before and after: what a plan does to each kind of user, as people will see it."""
