-- `measured`: one row per distinct (type, data, quantity) of landed rows with a shared type. A type is shared if
-- several meters read it, or one whose name or property differs from it (`shared_meters`). A meter does not measure an
-- event whose property is missing, null or empty; `is_unmeasured` if no meter does. The measurement of a single meter
-- is like any event. Several are one row of the usage table: `meter` is the event's type, and `dimensions` a JSON array
-- of all measurements (`usage.usage_table`). `wrong` and `negative` have the first property with an invalid number, and
-- the number. `absent` has the missing dimensions of a meter that measures the event.
create or replace temp table measured as
with said as (
    select type, data as landed_data, quantity as landed_quantity
    from staged
    where type in (select event_type from shared_meters)
    group by all
),

typed as (
    select
        *, case when is_plain_object(landed_data) then landed_data else exact_object(landed_data) end as data
    from said
),

read as (
    select
        typed.*, meters.key as meter, coalesce(meters.quantity_of, 'quantity') as quantity_of, meters.dimensions,
        list_concat(meters.dimensions, if(meters.property is null, [], [meters.property])) as wanted,
        coalesce(
            nullif(
                if(
                    coalesce(meters.quantity_of, 'quantity') = 'quantity', landed_quantity,
                    json_extract_string(data, '$."' || meters.quantity_of || '"')
                ), ''
            ),
            if(meters.needs_quantity, null, '1')
        ) as said_quantity
    from typed
    join shared_meters as meters on meters.event_type = typed.type
),

validated_each as (
    select
        *,
        case
            when regexp_full_match(said_quantity, '(0|[1-9]\d{0,19})(\.\d{1,15})?') then said_quantity
            else exact_quantity(said_quantity)
        end::decimal(38, 15) as quantity,
        list_filter(wanted, lambda name: json_extract_string(data, '$."' || name || '"') is null) as absent,
        contains(array_to_string(
            list_transform(wanted, lambda name: json_extract_string(data, '$."' || name || '"')), ''
        ), chr(0)) as has_nul,
        to_json(map_from_entries(list_transform(
            list_sort(dimensions),
            lambda name: struct_pack(k := name, v := json_extract_string(data, '$."' || name || '"'))
        )))::varchar as measured_dimensions
    from read
    where said_quantity is not null
),

each_event as (
    select
        type, landed_data, landed_quantity,
        arg_min(quantity_of || ' ' || said_quantity, meter) filter (where quantity is null) as wrong,
        arg_min(quantity_of || ' ' || said_quantity, meter) filter (where quantity < 0) as negative,
        arg_min(meter, meter) filter (where len(absent) > 0) as lacking,
        arg_min(absent, meter) filter (where len(absent) > 0) as absent,
        bool_or(has_nul) as has_nul,
        list(
            struct_pack(meter := meter, quantity := quantity::varchar, dimensions := measured_dimensions) order by meter
        ) as measurements,
        list(quantity order by meter) as quantities
    from validated_each
    group by all
)

select
    said.type, said.landed_data, said.landed_quantity, measurements is null as is_unmeasured, wrong, negative,
    lacking, absent,
    coalesce(has_nul, false) as has_nul,
    if(len(measurements) = 1, measurements[1].meter, said.type) as meter,
    case
        when wrong is not null then null
        when negative is not null then -1
        when len(measurements) = 1 then quantities[1]
        else 0
    end::decimal(38, 15) as quantity,
    if(len(measurements) = 1, measurements[1].dimensions, to_json(measurements)::varchar) as dimensions
from said
left join each_event
    on each_event.type = said.type and each_event.landed_data is not distinct from said.landed_data
    and each_event.landed_quantity is not distinct from said.landed_quantity
