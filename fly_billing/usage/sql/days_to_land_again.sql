-- One row per landing day with rejected rows that would be accepted now: their meter or organization exists now, or the
-- event that they conflicted with is gone.
select distinct r.landing_day as day
from rejected_usage as r
where (
        r.reason = 'unknown_organization'
        and exists (select from organizations where organizations.id = r.organization_id)
    )
    or (
        r.reason = 'unknown_meter'
        and exists (select from meters where coalesce(meters.event_type, meters.key) = r.meter)
    )
    or r.is_free
order by day
