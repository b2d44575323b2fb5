-- DuckDB. One row per landing day, not landed now, that holds a duplicate whose first event is about to vanish.
create or replace temp table orphaned_days as
select distinct copy.landing_day
from lake as copy
where copy.is_duplicate
    and copy.landing_day not in (select landing_day from replaced)
    and not exists (
        select 1 from lake as first
        where first.source = copy.source and first.id = copy.id and not first.is_duplicate
            and first.landing_day not in (select landing_day from replaced)
    )
    and not exists (select 1 from candidates where candidates.source = copy.source and candidates.id = copy.id)
