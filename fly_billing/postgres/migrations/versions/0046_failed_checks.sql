-- The asset checks that fail now, per month (or landing day) and billing group: a run of one month leaves the others.

create table failed_checks (
    id bigint generated always as identity,
    asset text not null check (asset <> ''),
    check_name text not null check (check_name <> ''),
    period text not null check (period ~ '^\d{4}-\d\d(-\d\d)?$'),
    billing_group text not null,
    is_warning boolean not null,
    wrong bigint not null check (wrong > 0),
    reason text not null check (reason <> ''),
    is_reported boolean not null,
    failed_since timestamptz not null check (failed_since >= '1970-01-01Z' and failed_since < '2200-01-01Z'),
    run_id text not null check (run_id <> ''),
    primary key (asset, check_name, period, billing_group)
);
comment on table failed_checks is
'One row per asset check, month or landing day, and billing group that fails now. A run replaces the rows of its own.';
comment on column failed_checks.id is 'Grows with each new failure. A row keeps its number until the check passes.';
comment on column failed_checks.period is 'A month such as 2026-10, or a landing day such as 2026-10-31.';
comment on column failed_checks.billing_group is
'Empty if the failure concerns the whole month or landing day, and no organization.';
comment on column failed_checks.wrong is 'The number of wrong rows that the check found.';
comment on column failed_checks.reason is 'The first wrong rows in words.';
comment on column failed_checks.is_reported is 'Another alert reports this failure.';
comment on column failed_checks.run_id is 'The run that found it last.';
create trigger refuse_truncate before truncate on failed_checks
for each statement execute function refuse_truncate();
alter table failed_checks enable always trigger refuse_truncate;
