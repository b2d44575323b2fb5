-- Usage: what is counted, what came in, and what it adds up to.

create table meters (
    key text primary key,
    name text not null,
    unit text not null,
    aggregation text not null check (
        aggregation in ('sum', 'count', 'max', 'unique', 'latest', 'time_weighted')
    ),
    dimensions text[] not null default '{}',
    unique_of text check (unique_of <> ''),
    series text check (series <> ''),
    time_unit bigint check (time_unit > 0),
    event_step numeric check (event_step > 0 and event_step < 1e12 and event_step = round(event_step, 15)),
    event_round text check (event_round in ('up', 'down')),
    event_type text check (event_type ~ '\S'),
    quantity_of text check (quantity_of ~ '^[A-Za-z0-9_./-]+$'),
    constraint meters_unique_of_given_check check ((aggregation = 'unique') = (unique_of is not null)),
    constraint meters_series_given_check check ((aggregation = 'time_weighted') = (series is not null)),
    constraint meters_time_unit_given_check check ((aggregation = 'time_weighted') = (time_unit is not null)),
    constraint meters_event_rounding_given_check check ((event_step is null) = (event_round is null)),
    constraint meters_event_rounding_read_check check (
        event_step is null or aggregation in ('sum', 'max', 'latest')
    )
);
comment on column meters.dimensions is 'every usage event of this meter must have these; rollups keep them apart';
comment on column meters.unique_of is 'the property of an event''s data of which unique counts the values';
comment on column meters.series is 'the property of an event''s data that says whose level it tells: a Machine, a volume';
comment on column meters.time_unit is 'seconds for which a level of 1 comes to a quantity of 1: 3600 for GB-hours';
comment on column meters.event_step is 'each event''s quantity is rounded to a multiple of it, before events are added up';
comment on column meters.event_round is 'up or down';
comment on column meters.event_type is 'the type of the events that it reads; null: its key';
comment on column meters.quantity_of is 'the property of an event''s data that holds the quantity; null: quantity';

-- The ledger of landings: landing a day again replaces its files, rejected rows and months; nothing else does.
create table landing_days (
    landing_day date primary key,
    landed_at timestamptz not null,
    lake_version bigint not null
);
comment on table landing_days is
    'days whose folder was landed, with or without files; a month is closed only when all its days were landed after they ended';
comment on column landing_days.lake_version is
    'version of the usage table from which on it holds this day: what was rolled up from an earlier one lacks it';
create trigger refuse_record_change before delete on landing_days
    for each row execute function refuse_record_change();
create trigger refuse_move before update on landing_days
    for each row when (new.landing_day <> old.landing_day) execute function refuse_record_change();

create table landed_months (
    landing_day date references landing_days,
    month date not null check (extract(day from month) = 1),
    accepted bigint not null check (accepted >= 0),
    rows bigint check (rows >= accepted),
    files text,
    primary key (landing_day, month)
);
comment on table landed_months is
    'of which months a day brought accepted usage (0: it did once, and no longer does); so late usage is noticed';
comment on column landed_months.rows is
    'rows of the usage table, duplicates included; null: landed before this was kept';
comment on column landed_months.files is
    'MD5 of the names and sizes of the data files with these rows; null: landed before this was kept';
create index on landed_months (month);
create trigger refuse_record_change before delete on landed_months
    for each row execute function refuse_record_change();
create trigger refuse_move before update on landed_months
    for each row when ((new.landing_day, new.month) <> (old.landing_day, old.month))
    execute function refuse_record_change();

create table usage_files (
    landing_day date not null references landing_days,
    path text not null,
    sha256 text not null,
    bytes bigint not null check (bytes >= 0),
    landed bigint not null check (landed >= 0),
    accepted bigint not null check (accepted >= 0),
    duplicate bigint not null check (duplicate >= 0),
    rejected bigint not null check (rejected >= 0),
    primary key (landing_day, path),
    constraint every_row_is_accounted_for check (landed = accepted + duplicate + rejected)
);

create table rejected_usage (
    landing_day date not null,
    path text not null,
    line bigint not null,
    reason text not null,
    message text not null,
    source text,
    event_id text,
    meter text,
    organization_id text,
    raw text not null,
    is_free boolean not null default false,
    primary key (landing_day, path, line),
    foreign key (landing_day, path) references usage_files on delete cascade
);
comment on column rejected_usage.line is '1-based line (JSONL, CSV) or row (Parquet); 0: the file itself';
comment on column rejected_usage.meter is 'as the row has it, known or not; so too organization_id';
comment on column rejected_usage.is_free is
    'the accepted event with which this row collided is gone: its day is worth landing again';
create index on rejected_usage (reason);
create index on rejected_usage (landing_day) where is_free;
create trigger refuse_other_change before update on rejected_usage
    for each row execute function refuse_other_change('{is_free}');

-- The usage table is compared with these records before anything is read from it.
create table usage_tables (
    generation integer primary key check (generation > 0),
    table_id text not null check (table_id <> ''),
    shift bigint not null check (shift >= 0),
    first_version bigint not null unique,
    acknowledged bigint not null check (acknowledged >= first_version),
    lost_after bigint check (lost_after <= acknowledged)
);
comment on table usage_tables is
    'the Delta table of usage events, and those it took the place of; the greatest generation is the one in use';
comment on column usage_tables.table_id is 'the id in the Delta table''s metadata: another table has another one';
comment on column usage_tables.shift is
    'lake_version = version in the Delta log + shift: so versions never go back, not even with a new table';
comment on column usage_tables.acknowledged is
    'the last lake_version that a landing committed: later commits in the Delta log do not count';
comment on column usage_tables.lost_after is 'a repair found the later versions of this generation gone';
-- A table's identity stays; only its newest version moves on.
create trigger refuse_other_change before update or delete on usage_tables
    for each row execute function refuse_other_change('{acknowledged,lost_after}');

create table usage_snapshots (
    id uuid primary key,
    organization_id text not null references organizations,
    month date not null check (extract(day from month) = 1),
    lake_version bigint not null,
    fingerprint text not null,
    events bigint not null check (events >= 0),
    rolled_up_at timestamptz not null,
    is_current boolean not null,
    unique (id, organization_id, month)
);
comment on table usage_snapshots is
    'an organization''s usage of a month as one version of the usage table had it; an invoice names the one it billed';
create unique index one_current_snapshot on usage_snapshots (month, organization_id) where is_current;
-- A snapshot is named after its content: only since when and from which version it is known, and whether it still holds,
-- may change.
create trigger refuse_other_change before update on usage_snapshots
    for each row
    when (
        (new.id, new.organization_id, new.month, new.fingerprint, new.events)
            is distinct from (old.id, old.organization_id, old.month, old.fingerprint, old.events)
    )
    execute function refuse_record_change();

create table usage_rollups (
    id uuid primary key,
    snapshot_id uuid not null references usage_snapshots on delete cascade,
    meter text not null references meters,
    dimensions jsonb not null,
    segment_start timestamptz not null,
    segment_end timestamptz not null check (segment_end > segment_start),
    quantity numeric not null check (quantity >= 0),
    events bigint not null check (events >= 0),
    daily numeric[] check (cardinality(daily) between 28 and 31),
    unique (snapshot_id, meter, dimensions, segment_start)
);
comment on column usage_rollups.events is '0: nothing happened in the month, a level was held from before';
comment on column usage_rollups.daily is
    'what each UTC day of the month added to the quantity, the 1st first; null: rolled up before days were kept';

-- The levels are kept per month, so that late usage is added from its month on and no further back.
create table carried_months (
    month date primary key check (extract(day from month) = 1),
    lake_version bigint not null
);
comment on table carried_months is
    'months whose first levels are known, and from which version of the usage table; can be made again from it';
create trigger refuse_move before update on carried_months
    for each row when (new.month <> old.month) execute function refuse_record_change();

create table carried_levels (
    month date not null references carried_months on delete cascade,
    organization_id text not null,
    meter text not null,
    dimensions text not null,
    series text not null,
    level numeric not null check (level > 0)
);
comment on table carried_levels is
    'what is held when a month begins: the last level that was told before it. A series that is not there holds nothing';
comment on column carried_levels.dimensions is 'as in the usage table, to the byte: the two are compared';
create unique index one_level_per_series on carried_levels (month, organization_id, meter, md5(series));
-- A month's levels are made as a whole and deleted as a whole. A missing one would be unbilled usage.
create trigger refuse_record_change before update on carried_levels
    for each row execute function refuse_record_change();

create table rollup_failures (
    organization_id text not null references organizations,
    month date not null check (extract(day from month) = 1),
    reason text not null check (reason <> ''),
    found_at timestamptz not null,
    primary key (organization_id, month),
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    constraint found_at_is_a_time check (found_at >= '1970-01-01Z' and found_at < '2200-01-01Z')
);
comment on table rollup_failures is
    'organizations whose rollups of a month are not what they used: not billed from them; gone when they are rolled up';

-- Usage that a final invoice bills, alone or together with its adjustments, stays as it is.
create function refuse_billed_rollup_change() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    select i.id into touched
    from (
        select s.invoice_id from invoice_snapshots as s
        where s.snapshot_id = any (array(select distinct snapshot_id from changed_rows))
        union all
        select s.invoice_id from corrected_snapshots as s
        where s.snapshot_id = any (array(select distinct snapshot_id from changed_rows))
    ) as billed
    join invoices as i on i.id = billed.invoice_id
    where i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: the usage it billed can not be changed', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger refuse_insert_of_billed after insert on usage_rollups
    referencing new table as changed_rows for each statement execute function refuse_billed_rollup_change();
create trigger refuse_delete_of_billed after delete on usage_rollups
    referencing old table as changed_rows for each statement execute function refuse_billed_rollup_change();
create trigger refuse_update_of_billed after update on usage_rollups
    referencing old table as changed_rows for each statement execute function refuse_billed_rollup_change();
create trigger refuse_update_into_billed after update on usage_rollups
    referencing new table as changed_rows for each statement execute function refuse_billed_rollup_change();

-- A meter that adds up differently is a new meter: what was billed could not be calculated again otherwise.
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
        (
            old.aggregation, old.unique_of, old.series, old.time_unit, old.event_step, old.event_round, old.event_type,
            old.quantity_of
        ) is distinct from (
            new.aggregation, new.unique_of, new.series, new.time_unit, new.event_step, new.event_round, new.event_type,
            new.quantity_of
        )
        or (old.aggregation = 'time_weighted' and old.dimensions <> new.dimensions)
    ) execute function refuse_used_meter_change();

-- The transaction that lands a day writes its row of landing_days first.
create function refuse_change_without_landing() returns trigger language plpgsql as $$
declare
    touched date;
begin
    select c.landing_day into touched
    from (select distinct landing_day from changed_rows) as c
    left join landing_days as d on d.landing_day = c.landing_day
    where d.xmin is distinct from pg_current_xact_id()::xid
    limit 1;
    if found then
        raise exception '% of % can not be changed or deleted: landing the day again replaces them', tg_table_name, touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger refuse_delete_without_landing after delete on usage_files
    referencing old table as changed_rows for each statement execute function refuse_change_without_landing();
create trigger refuse_update_without_landing after update on usage_files
    referencing old table as changed_rows for each statement execute function refuse_change_without_landing();
create trigger refuse_update_into_without_landing after update on usage_files
    referencing new table as changed_rows for each statement execute function refuse_change_without_landing();
create trigger refuse_delete_without_landing after delete on rejected_usage
    referencing old table as changed_rows for each statement execute function refuse_change_without_landing();

-- The rows and files of a month that was landed before these were kept are added without landing its days again.
create function refuse_count_without_landing() returns trigger language plpgsql as $$
begin
    if not exists (
        select from landing_days where landing_day = old.landing_day and xmin = pg_current_xact_id()::xid
    ) then
        raise exception '% of % can not be changed or deleted: landing the day again replaces them',
            tg_table_name, old.landing_day
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;

create trigger refuse_update_without_landing before update on landed_months
    for each row when (new.accepted <> old.accepted or old.rows is not null)
    execute function refuse_count_without_landing();

create function refuse_part_of_carried_month() returns trigger language plpgsql as $$
declare
    touched date;
begin
    select m.month into touched
    from (select distinct month from changed_rows) as c
    join carried_months as m on m.month = c.month
    where tg_op = 'DELETE' or m.xmin <> pg_current_xact_id()::xid
    limit 1;
    if found then
        raise exception 'the levels carried into % are kept as a whole: a part can not be added or deleted',
            to_char(touched, 'YYYY-MM')
            using errcode = 'integrity_constraint_violation',
                  hint = 'delete the month from carried_months: its levels are calculated again from the usage table';
    end if;
    return null;
end $$;

create trigger refuse_delete_of_part after delete on carried_levels
    referencing old table as changed_rows for each statement execute function refuse_part_of_carried_month();
create trigger refuse_insert_of_part after insert on carried_levels
    referencing new table as changed_rows for each statement execute function refuse_part_of_carried_month();

create function refuse_billed_snapshot_deletion() returns trigger language plpgsql as $$
declare
    touched uuid;
begin
    select i.id into touched
    from (
        select s.invoice_id from invoice_snapshots as s where s.snapshot_id = any (array(select id from changed_rows))
        union all
        select s.invoice_id from corrected_snapshots as s where s.snapshot_id = any (array(select id from changed_rows))
    ) as billed
    join invoices as i on i.id = billed.invoice_id
    where i.status <> 'open' limit 1;
    if found then
        raise exception 'invoice % is finalized: the usage it billed can not be deleted', touched
            using errcode = 'integrity_constraint_violation';
    end if;
    return null;
end $$;

create trigger refuse_billed_snapshot_deletion after delete on usage_snapshots
    referencing old table as changed_rows for each statement execute function refuse_billed_snapshot_deletion();
