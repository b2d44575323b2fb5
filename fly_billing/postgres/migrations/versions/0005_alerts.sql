-- Alerts wait in an outbox: written in the transaction that marks what they tell of as told, posted until taken.

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

-- People who were told that an invoice can't be computed are told when it can. The failure itself is gone by then.
create table billing_recoveries (
    organization_id text not null references organizations,
    month date not null,
    alerted_code text not null,
    recovered_at timestamptz not null default now(),
    primary key (organization_id, month)
);
comment on table billing_recoveries is 'failures that people were told of and that are over, until they are told that too';

alter table stripe_events add column error_code text;
comment on column stripe_events.error_code is 'Stripe''s decline code, or else its error code, for a payment or finalization';
