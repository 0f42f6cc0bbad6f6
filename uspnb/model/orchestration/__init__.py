"""One tick, start to end: gate, scores, alarms, transport, fusion, modes.  `step.py` tells it in order."""
