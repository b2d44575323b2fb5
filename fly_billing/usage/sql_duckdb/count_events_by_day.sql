-- One row per landing day: the accepted events and the duplicates in the usage table.
select landing_day, count(*) filter (not is_duplicate), count(*) filter (is_duplicate)
from events
where list_contains($days, landing_day)
group by landing_day
