-- A meter may round the quantity of each event before events are added up. As all that says how it adds up, that is fixed as
-- soon as the meter has usage: a closed month could not be calculated again otherwise.

alter table meters
    add column event_step numeric check (event_step > 0 and event_step < 1e12 and event_step = round(event_step, 15)),
    add column event_round text check (event_round in ('up', 'down')),
    add constraint meters_event_rounding_given_check check ((event_step is null) = (event_round is null)),
    add constraint meters_event_rounding_read_check check (
        event_step is null or aggregation in ('sum', 'max', 'latest')
    );
comment on column meters.event_step is 'each event''s quantity is rounded to a multiple of it, before events are added up';
comment on column meters.event_round is 'up or down';

drop trigger refuse_used_meter_change on meters;
create trigger refuse_used_meter_change before update on meters
    for each row when (
        (old.aggregation, old.unique_of, old.series, old.time_unit, old.event_step, old.event_round)
            is distinct from
            (new.aggregation, new.unique_of, new.series, new.time_unit, new.event_step, new.event_round)
        or (old.aggregation = 'time_weighted' and old.dimensions <> new.dimensions)
    ) execute function refuse_used_meter_change();
alter table meters enable always trigger refuse_used_meter_change;
