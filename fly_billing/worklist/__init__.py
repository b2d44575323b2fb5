"""The worklist: days to land, and months to close, sync and reconcile. It lists nothing that is already done."""
