-- One row per meter. event_type: the type of the events that it reads. quantity_of: the property of their data with the
-- quantity (null: `quantity`). is_shared: it shares its events with other meters, or reads another property than
-- `quantity`. property: the property that its aggregation needs besides dimensions. needs_quantity: its events must
-- have a quantity.
select key, dimensions, aggregation, coalesce(unique_of, series) as property, time_unit, event_step, event_round,
    coalesce(event_type, key) as event_type, quantity_of,
    coalesce(quantity_of, 'quantity') <> 'quantity'
        or count(*) over (partition by coalesce(event_type, key)) > 1 as is_shared,
    quantity_of is not null or aggregation not in ('count', 'unique') as needs_quantity
from meters
order by key
