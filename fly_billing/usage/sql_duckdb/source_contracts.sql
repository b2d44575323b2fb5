-- name: contract_problems
-- `contract_problems`: one row per source, type and data of landed rows that break the contract of their source: the
-- reason and what to do. Each distinct data is read once. `data` has no quantity here: meters check that one.
create or replace temp table contract_problems as
with said as (
    select distinct source, type, data as landed_data
    from staged
    where $rejects_others or source in (select source from declared_sources)
),

values_read as (
    select
        said.source, said.type, said.landed_data, fields.place, fields.field, fields.type as wanted,
        fields.is_required, fields.allowed,
        json_type(described.data, '$."' || fields.field || '"') as value_type,
        -- `exact_object` has made numbers texts.
        nullif(json_extract_string(described.data, '$."' || fields.field || '"'), '') as text
    from said
    join contract_fields as fields on fields.source = said.source
    join described
        on described.type is not distinct from said.type and described.landed_data is not distinct from said.landed_data
),

shown as (
    select
        *, case value_type when 'ARRAY' then 'a list' when 'OBJECT' then 'an object' else text[:200] end as given,
        case
            when value_type in ('ARRAY', 'OBJECT') then false
            when wanted = 'boolean' then text in ('true', 'false')
            when value_type = 'BOOLEAN' then false
            when wanted = 'number' then regexp_full_match(text, '-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?')
            when wanted = 'integer' then regexp_full_match(text, '-?(0|[1-9]\d*)')
            else true
        end as is_of_type
    from values_read
),

wrong as (
    select
        source, type, landed_data,
        arg_min(
            'data.' || field || case
                when text is null then if(is_required, ' is missing', null)
                when not is_of_type then ' ' || given || case wanted
                    when 'text' then ' is not ' when 'integer' then ' is not an ' else ' is not a '
                end || wanted
                when not list_contains(allowed, text)
                    then ' ' || given || ' is none of ' || array_to_string(allowed, ', ')
            end, place
        ) as problem
    from shown
    group by all
)

select
    said.source, said.type, said.landed_data,
    case
        when declared_sources.source is null then 'undeclared_source'
        when declared_types.source is null then 'undeclared_meter'
        else 'broken_contract'
    end as reason,
    case
        when declared_sources.source is null
            then 'source ' || said.source
            || ' is not declared: add it to sources.yaml, then run `fly-billing land --rejected`'
        when declared_types.source is null
            then 'source ' || said.source || ' may not send ' || said.type
            || ': add the meter in sources.yaml, then run `fly-billing land --rejected`'
        else 'source ' || said.source || ': ' || wrong.problem
            || ': correct the event, or sources.yaml and run `fly-billing land --rejected`'
    end as message
from said
left join declared_sources on declared_sources.source = said.source
left join declared_types on declared_types.source = said.source and declared_types.event_type = said.type
left join wrong
    on wrong.source = said.source and wrong.type is not distinct from said.type
    and wrong.landed_data is not distinct from said.landed_data
where declared_types.source is null or wrong.problem is not null;

-- name: broken_contracts
-- `broken`: one row per landed row that is valid, apart from the contract of its source.
create or replace temp table broken as
select staged.landing_day, staged.path, staged.line, contract_problems.reason, contract_problems.message
from staged
join contract_problems
    on contract_problems.source = staged.source and contract_problems.type = staged.type
    and contract_problems.landed_data is not distinct from staged.data
join validated
    on validated.landing_day = staged.landing_day and validated.path = staged.path and validated.line = staged.line
where validated.reason is null;

-- name: reject_broken_contracts
-- Gives each row of `broken` its reason.
update validated set reason = broken.reason
from broken
where broken.landing_day = validated.landing_day and broken.path = validated.path and broken.line = validated.line;

-- name: explain_broken_contracts
-- Gives each row of `broken` its message.
update staged set problem_message = broken.message
from broken
where broken.landing_day = staged.landing_day and broken.path = staged.path and broken.line = staged.line;

-- name: count_sources
-- One row per declared source with rows in the days that land: its files, landed, accepted, duplicate and rejected
-- rows, and the time of its last event.
with outcomes as (
    select
        landing_day, path, source, time, (not is_duplicate)::bigint as accepted, is_duplicate::bigint as duplicate,
        0 as rejected
    from deduplicated
    where not is_conflict and landing_day in (select landing_day from replaced)
    union all
    select landing_day, path, source, null, 0, 0, 1 from rejected
)

select
    source, count(distinct struct_pack(day := landing_day, file := path)) as files,
    count(*) as landed, sum(accepted)::bigint as accepted,
    sum(duplicate)::bigint as duplicate, sum(rejected)::bigint as rejected, max(time) as last_event_at
from outcomes
semi join declared_sources using (source)
group by source
order by source;

-- name: declared_types
-- `declared_types`: one row per source and type of the events that it may send: those that its meters read.
create or replace temp table declared_types as
select distinct declared_meters.source, meters.event_type
from declared_meters
join meters on meters.key = declared_meters.meter;
