-- `verdicts`: one row per billable landed row whose key others have too, with whether it repeats an event that was
-- accepted before it, and that event's place and time (`first`). `settled`: all billable rows, with theirs.
-- (source, id) is the key. Who came first: what was accepted already (`known` in other landing days, `was_accepted` in a day
-- that is settled again, or `brought_before` by the day that lands again now), then what was not refused for another one
-- (`refused_before`), then day, path and line. So the order in which days land again changes nothing.
-- A row with the key of an accepted event but other content is no duplicate: it is refused, so that nothing is
-- billed wrongly in silence.
create or replace temp table verdicts as
with shared as (
    select source, id from candidates group by source, id having count(*) > 1
    union
    select source, id from known
),

brought as (
    select distinct
        brought_before.landing_day, brought_before.source, brought_before.id, brought_before.meter,
        brought_before.organization_id, brought_before.time, brought_before.quantity, brought_before.dimensions
    from brought_before
    semi join shared on shared.source = brought_before.source and shared.id = brought_before.id
    where not brought_before.is_duplicate
),

numbered as (
    select
        *,
        row_number() over came_first as place,
        first_value(content) over came_first as first_content,
        first_value(struct_pack(landing_day := landing_day, path := path, line := line, happened := time))
            over came_first as first_event
    from (
        select
            candidates.* exclude (was_accepted),
            candidates.was_accepted or brought.source is not null as was_accepted,
            refused_before.source is not null as was_refused,
            concat_ws(
                '|', candidates.meter, candidates.organization_id, epoch_us(candidates.time), candidates.quantity,
                candidates.dimensions, json_extract_string(data, '$."' || meters.property || '"')
            ) as content
        from candidates
        join shared on shared.source = candidates.source and shared.id = candidates.id
        left join meters on meters.key = candidates.meter
        left join brought
            on brought.landing_day = candidates.landing_day and brought.source = candidates.source
            and brought.id = candidates.id and brought.meter = candidates.meter
            and brought.organization_id = candidates.organization_id and brought.time = candidates.time
            and brought.quantity = candidates.quantity and brought.dimensions = candidates.dimensions
        left join refused_before
            on refused_before.landing_day = candidates.landing_day and refused_before.source = candidates.source
            and refused_before.id = candidates.id
    )
    window came_first as (
        partition by source, id order by was_accepted desc, was_refused, landing_day, path, line
    )
)

select
    landing_day, path, line, known.source is not null or place > 1 as is_duplicate,
    numbered.content <> coalesce(known.content, first_content) as is_conflict,
    coalesce(known.event, first_event) as first
from numbered
left join known on known.source = numbered.source and known.id = numbered.id;

create or replace temp view settled as
select
    candidates.* exclude (was_accepted), coalesce(is_duplicate, false) as is_duplicate,
    coalesce(is_conflict, false) as is_conflict
from candidates
left join (select * exclude (first) from verdicts) as verdicts using (landing_day, path, line)
