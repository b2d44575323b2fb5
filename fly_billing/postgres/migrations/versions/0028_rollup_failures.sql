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

create trigger refuse_truncate before truncate on rollup_failures for each statement execute function refuse_truncate();
alter table rollup_failures enable always trigger refuse_truncate;
