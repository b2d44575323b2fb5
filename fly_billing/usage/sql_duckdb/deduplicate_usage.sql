-- `shared_keys`: one row per valid row that shares its key, (source, id), with others: whether it is a duplicate of an
-- event that counts before it, and the place and time of that event (`first`). The order: events that are accepted
-- already (`accepted_elsewhere` in other landing days, `was_accepted` in a day that is deduplicated again,
-- `previous_events` in a day that lands again), then rows that were not rejected for a conflict (`rejected_before`),
-- then by day, path and line. So the order in which days land again makes no difference. A row with the key of an
-- accepted event but other content is a conflict, not a duplicate. It is rejected, so that nobody is billed for the wrong
-- one unnoticed.
create or replace temp table shared_keys as
with shared as (
    select source, id
    from candidates
    where greatest(hash(source, id) >> 16, 1) in (select prefix from repeated_prefixes)
    group by source, id
    having count(*) > 1
    union
    select source, id from accepted_elsewhere
),

brought as (
    select distinct
        previous_events.landing_day, previous_events.source, previous_events.id, previous_events.meter,
        previous_events.organization_id, previous_events.time, previous_events.quantity, previous_events.dimensions
    from previous_events
    semi join shared on shared.source = previous_events.source and shared.id = previous_events.id
    where not previous_events.is_duplicate
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
            rejected_before.source is not null as was_rejected,
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
        left join rejected_before
            on rejected_before.landing_day = candidates.landing_day and rejected_before.source = candidates.source
            and rejected_before.id = candidates.id
    )
    window came_first as (
        partition by source, id order by was_accepted desc, was_rejected, landing_day, path, line
    )
)

select
    landing_day, path, line, accepted_elsewhere.source is not null or place > 1 as is_duplicate,
    numbered.content <> coalesce(accepted_elsewhere.content, first_content) as is_conflict,
    coalesce(accepted_elsewhere.event, first_event) as first
from numbered
left join accepted_elsewhere on accepted_elsewhere.source = numbered.source and accepted_elsewhere.id = numbered.id
