"""Operations: what needs a person now, and whether the platform is alive.

Not here: alerts (`alerting`) and the rules of each subject, which are only read here.
"""
