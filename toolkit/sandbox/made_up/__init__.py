"""People who do not exist: names, logins, pictures, scripts."""
