-- One row per meter. `property` is what of an event's data its aggregation needs besides dimensions, if anything.
select key, dimensions, aggregation, coalesce(unique_of, series) as property, time_unit, event_step, event_round
from meters
order by key
