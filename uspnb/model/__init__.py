"""The pure tick: records, state, identification, kernels, orchestration and compiled programs; no input or output."""
