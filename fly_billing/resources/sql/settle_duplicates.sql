-- DuckDB. `verdicts`: one row per billable landed row whose key others have too, with whether it repeats an event that was
-- accepted before it. `settled`: all billable rows, with theirs.
-- (source, id) is the key. Who came first: what was accepted already (`known` in other landing days, or `was_accepted`
-- in a day that is settled again), then day, path and line.
-- A row with the key of an accepted event but other content is no duplicate: it is refused, so that nothing is
-- billed wrongly in silence.
create or replace temp table verdicts as
with shared as (
    select source, id from candidates group by source, id having count(*) > 1
    union
    select source, id from known
),

numbered as (
    select
        *,
        row_number() over came_first as place,
        first_value(content) over came_first as first_content
    from (
        select
            candidates.*,
            concat_ws(
                '|', meter, organization_id, epoch_us(time), quantity, candidates.dimensions,
                json_extract_string(data, '$."' || meters.property || '"')
            ) as content
        from candidates
        join shared on shared.source = candidates.source and shared.id = candidates.id
        left join meters on meters.key = candidates.meter
    )
    window came_first as (partition by source, id order by was_accepted desc, landing_day, path, line)
)

select
    landing_day, path, line, known.source is not null or place > 1 as is_duplicate,
    numbered.content <> coalesce(known.content, first_content) as is_conflict
from numbered
left join known on known.source = numbered.source and known.id = numbered.id;

create or replace temp view settled as
select
    candidates.* exclude (was_accepted), coalesce(is_duplicate, false) as is_duplicate,
    coalesce(is_conflict, false) as is_conflict
from candidates
left join verdicts using (landing_day, path, line)
