-- One row per key and landing day: rows that were refused as their key belongs to another event, of these days or (null) of all.
select distinct landing_day, source, event_id as id
from rejected_usage
where reason = 'conflicting_duplicate' and (cast(:days as date[]) is null or landing_day = any (:days))
