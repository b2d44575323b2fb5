-- Alerts and their outbox, and thresholds of spend.

-- Alerts wait in an outbox: each is written in the transaction that marks its subject as alerted, and posted until a
-- channel accepts it.
create table alerts (
    id bigint generated always as identity primary key,
    key text,
    channel text not null,
    code text not null,
    subject text not null check (subject <> ''),
    body text not null,
    made_at timestamptz not null default now(),
    next_try_at timestamptz not null default now(),
    refusals integer not null default 0 check (refusals >= 0),
    last_refusal text,
    taken_at timestamptz,
    unique (key, channel),
    check ((refusals = 0) = (last_refusal is null))
);
comment on table alerts is 'one row per message and channel; taken_at null: it still waits, and is tried again until taken';
comment on column alerts.key is 'what the message is about, where it could be written down twice';
create index on alerts (id) where taken_at is null;
create trigger refuse_other_change before update or delete on alerts
    for each row execute function refuse_other_change('{next_try_at,refusals,last_refusal,taken_at}');
create trigger refuse_change_of_taken before update on alerts
    for each row when (old.taken_at is not null) execute function refuse_record_change();

-- People who were alerted that an invoice can't be computed are alerted when it can. The failure itself is gone by then.
create table billing_recoveries (
    organization_id text not null references organizations,
    month date not null,
    alerted_code text not null,
    recovered_at timestamptz not null default now(),
    primary key (organization_id, month)
);
comment on table billing_recoveries is 'failures that people were told of and that are over, until they are told that too';

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
create trigger refuse_record_change before update or delete on spend_alerts
    for each row execute function refuse_record_change();
