"""The sandbox's users: stored, indexed, searched."""
