"""Records the asset checks that fail now, per month or landing day and billing group, in the table `failed_checks`.

A check of Dagster has one state for all partitions of its asset. This table keeps a row per partition that fails, so
that a run replaces the rows of its own partitions only, and the check passes when no row is left. Not here: what the
checks look at, which is with each subject, and how Dagster shows them (`assets.partition_checks`).
"""
