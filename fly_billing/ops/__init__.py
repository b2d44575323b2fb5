"""Jobs of ops: work that spans partitions of several assets, in one run. An op calls the use case of its subject.

Not here: assets, whose runs cover whole partitions (`assets`), and schedules (`jobs`).
"""
