-- No rows. Meters by key; what a meter counts and its unit may be reworded, how it adds up only while it has no usage.
insert into meters (
    key, name, unit, aggregation, dimensions, unique_of, series, time_unit, event_step, event_round, event_type, quantity_of
)
select
    key, name, unit, aggregation, dimensions, unique_of, series, time_unit, event_step, event_round, event_type, quantity_of
from loaded_meters
on conflict (key) do update set
    name = excluded.name, unit = excluded.unit, aggregation = excluded.aggregation, dimensions = excluded.dimensions,
    unique_of = excluded.unique_of, series = excluded.series, time_unit = excluded.time_unit,
    event_step = excluded.event_step, event_round = excluded.event_round,
    event_type = excluded.event_type, quantity_of = excluded.quantity_of
