"""States that outlive a process: snapshots and stores."""
