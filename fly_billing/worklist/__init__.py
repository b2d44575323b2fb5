"""The worklist: days to land, months to bill, close, sync and reconcile. A second run does nothing twice."""
