-- A meter names the type of the events it reads and the property that holds its quantity, so that several read one event.
-- As all that says how it adds up, that is fixed as soon as the meter has usage.

alter table meters
    add column event_type text check (event_type ~ '\S'),
    add column quantity_of text check (quantity_of ~ '^[A-Za-z0-9_./-]+$');
comment on column meters.event_type is 'the type of the events that it reads; null: its key';
comment on column meters.quantity_of is 'the property of an event''s data that holds the quantity; null: quantity';

drop trigger refuse_used_meter_change on meters;
create trigger refuse_used_meter_change before update on meters
    for each row when (
        (
            old.aggregation, old.unique_of, old.series, old.time_unit, old.event_step, old.event_round, old.event_type,
            old.quantity_of
        ) is distinct from (
            new.aggregation, new.unique_of, new.series, new.time_unit, new.event_step, new.event_round, new.event_type,
            new.quantity_of
        )
        or (old.aggregation = 'time_weighted' and old.dimensions <> new.dimensions)
    ) execute function refuse_used_meter_change();
alter table meters enable always trigger refuse_used_meter_change;
