"""The admin's panel: choose a default picture, in four steps."""
