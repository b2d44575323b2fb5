-- A run every five minutes finds that nearly all usage and open invoices are unchanged. It records that in one row per
-- month, instead of writing each of their rows again: 15 GB of WAL a day with 30,000 organizations.

create table usage_confirmations (
    month date primary key check (extract(day from month) = 1)
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    lake_version bigint not null,
    rolled_up_at timestamptz not null
    constraint rolled_up_at_is_a_time check (rolled_up_at >= '1970-01-01Z' and rolled_up_at < '2200-01-01Z')
);
comment on table usage_confirmations is
'One row per month: until when its current snapshots are known to be right. Not those of organizations in rollup_failures.';
comment on column usage_confirmations.month is 'The first day of the month of the usage.';
comment on column usage_confirmations.lake_version is 'The version of the usage table that has their usage, too.';
comment on column usage_confirmations.rolled_up_at is 'When that version was looked at.';
create trigger refuse_truncate before truncate on usage_confirmations
for each statement execute function refuse_truncate();
alter table usage_confirmations enable always trigger refuse_truncate;

create table invoice_confirmations (
    month date primary key check (extract(day from month) = 1)
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    confirmed_at timestamptz not null
    constraint confirmed_at_is_a_time check (confirmed_at >= '1970-01-01Z' and confirmed_at < '2200-01-01Z')
);
comment on table invoice_confirmations is
'One row per month: when all its open invoices were last known to be right. Not those of organizations in billing_failures.';
comment on column invoice_confirmations.month is 'The first day of the month of the invoices.';
comment on column invoice_confirmations.confirmed_at is
'Calculating an open invoice at this time would have changed nothing, or it was calculated.';
create trigger refuse_truncate before truncate on invoice_confirmations
for each statement execute function refuse_truncate();
alter table invoice_confirmations enable always trigger refuse_truncate;

comment on column usage_snapshots.lake_version is
'A version of the usage table that has this usage. The view usage_as_of has the last one.';
comment on column usage_snapshots.rolled_up_at is
'When that version was looked at. The view usage_as_of has the last time.';

-- `case`, as a missing version or time must stay missing.
create view usage_as_of as
select
    s.id as snapshot_id, s.organization_id, s.month, s.is_current,
    case when c.lake_version > s.lake_version then c.lake_version else s.lake_version end as lake_version,
    case when c.rolled_up_at > s.rolled_up_at then c.rolled_up_at else s.rolled_up_at end as rolled_up_at
from usage_snapshots as s
left join usage_confirmations as c
    on c.month = s.month and s.is_current
        and not exists (
            select from rollup_failures as f where f.organization_id = s.organization_id and f.month = s.month
        );
comment on view usage_as_of is
'One row per snapshot: until when it is known to have all usage of its organization and month.';
comment on column usage_as_of.snapshot_id is 'The snapshot.';
comment on column usage_as_of.organization_id is 'The organization that used it.';
comment on column usage_as_of.month is 'The first day of the month of the usage.';
comment on column usage_as_of.is_current is 'True for the latest usage.';
comment on column usage_as_of.lake_version is 'The last version of the usage table that is known to have this usage.';
comment on column usage_as_of.rolled_up_at is 'When that version was looked at.';
