"""What kind of process is this: roughness, spectrum, drift and martingale, measured on the rolling window."""
