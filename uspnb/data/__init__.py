"""What a user hands over, checked once: series, CSV files, times; synthetic processes and the sample series."""
