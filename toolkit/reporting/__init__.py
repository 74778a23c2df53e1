"""What people read: charts, the HTML report, the terminal."""
