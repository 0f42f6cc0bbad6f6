"""The pure tick: records, state, identification, kernels, orchestration and the compiled programs; no input or output."""
