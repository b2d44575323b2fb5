-- DuckDB. One row per landed row that was refused, with the reason.
create or replace temp table rejected as
select landing_day, path, line, reason, message, source, id, raw from judged where reason is not null
union all
select
    landing_day, path, line, 'conflicting_duplicate',
    'an event with this source and id was accepted before with other content: send a correction under a new id',
    source, id, raw
from settled
where is_conflict
