"""Live series: one, many, and many served."""
