"""A campaign of dashboard actions at Stripe, under faults and kills, after which owed here must equal asked there.

Not here: the campaign of the sync (`tests.chaos`), whose servers and faults this one uses.
"""
