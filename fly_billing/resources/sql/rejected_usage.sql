-- DuckDB. One row per landed row that was refused, with the reason. A NUL character, which Postgres can't hold and a
-- torn file may be full of, is written as its symbol.
create or replace temp table rejected as
select
    landing_day, path, line, reason, replace(message, chr(0), '␀') as message, replace(source, chr(0), '␀') as source,
    replace(id, chr(0), '␀') as id, replace(type, chr(0), '␀') as meter, replace(subject, chr(0), '␀') as organization_id,
    replace(raw, chr(0), '␀') as raw
from judged
where reason is not null
union all
select
    landing_day, path, line, 'conflicting_duplicate',
    'an event with this source and id was accepted before with other content: send a correction under a new id',
    source, id, meter, organization_id, raw
from settled
where is_conflict
