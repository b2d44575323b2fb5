-- Thresholds of spend, and which of them were told of in which month.

create table spend_thresholds (
    organization_id text not null references organizations,
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    amount_cents bigint not null check (amount_cents > 0),
    added_at timestamptz not null default now(),
    primary key (organization_id, currency, amount_cents)
);
comment on table spend_thresholds is 'spend of a month, open so far, at which people are told; in cents of its currency';

create table spend_alerts (
    organization_id text not null references organizations,
    month date not null check (extract(day from month) = 1),
    currency char(3) not null,
    amount_cents bigint not null,
    total_cents bigint not null check (total_cents >= amount_cents),
    told_at timestamptz not null default now(),
    primary key (organization_id, month, currency, amount_cents)
);
comment on table spend_alerts is
    'thresholds that a month crossed and people were told of, once; also of thresholds that were taken away since';
