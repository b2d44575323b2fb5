-- Ids of usage and invoices begin with their month from now on. Earlier months keep the ids that they have.
create table months_with_random_ids (
    month date primary key check (extract(day from month) = 1)
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01')
);
comment on table months_with_random_ids is
'The months that were begun before ids of usage and invoices started with their month: they keep the older ids.';
comment on column months_with_random_ids.month is 'The first day of the month.';
create trigger refuse_record_change before update or delete on months_with_random_ids
for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on months_with_random_ids
for each statement execute function refuse_truncate();
alter table months_with_random_ids enable always trigger refuse_record_change;
alter table months_with_random_ids enable always trigger refuse_truncate;

-- A run of the version before may be writing a month's first rows: wait for it, and list its month.
lock table usage_snapshots, invoices in share row exclusive mode;
insert into months_with_random_ids (month)
select month from usage_snapshots
union
select month from invoices;
