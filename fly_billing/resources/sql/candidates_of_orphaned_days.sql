-- DuckDB. Adds the rows of the orphaned days, as the lake has them, to what is settled now.
insert into candidates by name
select
    landing_day, path, line, source, id, meter, organization_id, time, quantity, dimensions, data, '' as raw,
    null::varchar as reason, null::varchar as message, not is_duplicate as was_accepted
from lake
where landing_day in (select landing_day from orphaned_days)
