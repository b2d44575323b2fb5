-- DuckDB. One row per landing day, not landed now, that holds a copy of an event that vanishes: the copy counts from now on.
insert into orphaned_days
select distinct lake.landing_day
from lake
semi join vanished on vanished.source = lake.source and vanished.id = lake.id
where lake.is_duplicate and lake.landing_day not in (select landing_day from replaced)
