-- DuckDB. One row per billable landed row, with whether it repeats an event that was accepted before it.
-- (source, id) is the key. Who came first: what other landing days hold already (`known`), then day, path and line.
-- A row with the key of an accepted event but other content is no duplicate: it is refused, so that nothing is
-- billed wrongly in silence.
create or replace temp table settled as
with numbered as (
    select
        *,
        row_number() over (partition by source, id order by landing_day, path, line) as place,
        first_value(content) over (partition by source, id order by landing_day, path, line) as first_content
    from (
        select *, concat_ws('|', meter, organization_id, epoch_us(time), quantity, dimensions) as content
        from candidates
    )
)

select
    numbered.* exclude (place, content, first_content),
    known.source is not null or place > 1 as is_duplicate,
    numbered.content <> coalesce(known.content, first_content) as is_conflict
from numbered
left join known on known.source = numbered.source and known.id = numbered.id
