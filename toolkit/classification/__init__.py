"""What one picture URL is, by one rule table, and the same for columns of users."""
