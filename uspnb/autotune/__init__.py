"""The closed loop: a live predictor watched, tuned in the background, changed and, where that fails, changed back."""
