"""The hosts of pictures, without the internet."""
