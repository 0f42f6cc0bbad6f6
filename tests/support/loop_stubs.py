"""What the tests of the closed loop share."""

# Within the limits of one change, and ruinous on a logistic map: the error doubles in a hundred ticks.
FORGETFUL = {
    "hilbert_fast_forgetting": 0.8,
    "hilbert_forgetting": 0.9,
    "hilbert_score_forgetting": 0.5,
    "log_sig_forgetting": 0.9,
    "score_forgetting": 0.5,
}
