-- One row per landing day with rejected rows whose meter or organization is known by now, or whose key belongs to no other event
-- any more: landing it again accepts them.
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
