"""Four one-step predictors of one shape; no kernel imports a sibling."""
