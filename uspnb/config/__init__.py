"""Configuration: the declarations, and reading them from a file."""
