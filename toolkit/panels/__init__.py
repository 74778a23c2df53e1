"""What notebooks show: widgets over the same functions that the command calls."""
