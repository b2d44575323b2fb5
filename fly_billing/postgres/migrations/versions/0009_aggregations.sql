-- How a meter adds up, what levels a month begins with, and what each day of it contributed.

alter table meters
    drop constraint meters_aggregation_check,
    add column unique_of text check (unique_of <> ''),
    add column series text check (series <> ''),
    add column time_unit bigint check (time_unit > 0),
    add constraint meters_aggregation_check check (
        aggregation in ('sum', 'count', 'max', 'unique', 'latest', 'time_weighted')
    ),
    add constraint meters_unique_of_given_check check ((aggregation = 'unique') = (unique_of is not null)),
    add constraint meters_series_given_check check ((aggregation = 'time_weighted') = (series is not null)),
    add constraint meters_time_unit_given_check check ((aggregation = 'time_weighted') = (time_unit is not null));
comment on column meters.unique_of is 'the property of an event''s data of which unique counts the values';
comment on column meters.series is 'the property of an event''s data that says whose level it tells: a Machine, a volume';
comment on column meters.time_unit is 'seconds for which a level of 1 comes to a quantity of 1: 3600 for GB-hours';

-- The levels are kept per month, so that late usage is worked in from its month on and no further back.
create table carried_months (
    month date primary key check (extract(day from month) = 1),
    lake_version bigint not null
);
comment on table carried_months is
    'months whose first levels are known, and from which version of the usage table; can be made again from it';

create table carried_levels (
    month date not null references carried_months on delete cascade,
    organization_id text not null,
    meter text not null,
    dimensions text not null,
    series text not null,
    level numeric not null check (level > 0)
);
-- A hash, as an index takes no text of any length.
create unique index one_level_per_series on carried_levels (month, organization_id, meter, md5(dimensions), md5(series));
comment on table carried_levels is
    'what is held when a month begins: the last level that was told before it. A series that is not there holds nothing';
comment on column carried_levels.dimensions is 'as in the usage table, to the byte: the two are compared';

alter table usage_rollups
    drop constraint usage_rollups_events_check,
    add constraint usage_rollups_events_check check (events >= 0),
    add column daily numeric[] check (cardinality(daily) between 28 and 31);
comment on column usage_rollups.events is '0: nothing happened in the month, a level was held from before';
comment on column usage_rollups.daily is
    'what each UTC day of the month added to the quantity, the 1st first; null: rolled up before days were kept';

-- A meter that adds up otherwise is another meter: what was billed could not be worked out again.
create function refuse_used_meter_change() returns trigger language plpgsql as $$
begin
    if exists (select from usage_rollups where meter = old.key) then
        raise exception 'meter % has usage: how it adds up can not be changed', old.key
            using errcode = 'integrity_constraint_violation', hint = 'add a meter with another key';
    end if;
    delete from carried_months;
    return new;
end $$;

create trigger refuse_used_meter_change before update on meters
    for each row when (
        (old.aggregation, old.unique_of, old.series, old.time_unit)
            is distinct from (new.aggregation, new.unique_of, new.series, new.time_unit)
        or (old.aggregation = 'time_weighted' and old.dimensions <> new.dimensions)
    ) execute function refuse_used_meter_change();
