-- The Stripe journal: what was sent, what came back, the pace of requests, and what a person allowed.

create table stripe_invoices (
    invoice_id uuid primary key references invoices,
    state text not null check (state in (
        'pending', 'drafted', 'filled', 'verified', 'finalized', 'skipped_zero', 'unknown', 'failed', 'needs_attention'
    )),
    step text check (step in ('create_customer', 'create', 'add_lines', 'verify', 'finalize', 'discard')),
    generation integer not null default 0 check (generation >= 0),
    stripe_invoice_id text unique,
    stripe_total_cents bigint,
    hosted_invoice_url text,
    failure_code text,
    failure_customer_text text,
    failure_operator_text text,
    retryable boolean,
    run_id text,
    updated_at timestamptz not null,
    finalized_at timestamptz,
    alerted_code text,
    check ((state = 'finalized') = (finalized_at is not null)),
    check (state not in ('drafted', 'filled', 'verified', 'finalized') or stripe_invoice_id is not null),
    check (state not in ('unknown', 'failed', 'needs_attention') or (failure_code is not null and step is not null)),
    check (state in ('unknown', 'failed', 'needs_attention') or failure_code is null)
);
comment on column stripe_invoices.alerted_code is
    'the failure that a human was told of; null again once they were told that it recovered';
create index on stripe_invoices (state) where state <> 'finalized';
-- Where an invoice stands in Stripe moves on until it is finalized there. What somebody took back in Stripe is sent again
-- under the next generation, when a person says so.
create trigger refuse_other_change before update or delete on stripe_invoices
    for each row execute function refuse_other_change(
        '{state,step,generation,stripe_invoice_id,stripe_total_cents,hosted_invoice_url,failure_code,'
        'failure_customer_text,failure_operator_text,retryable,run_id,updated_at,finalized_at,alerted_code}'
    );
create trigger refuse_change_of_finalized before update on stripe_invoices
    for each row when (old.state = 'finalized' and new.generation = old.generation)
    execute function refuse_other_change('{run_id,updated_at,alerted_code}');
create trigger refuse_older_generation before update on stripe_invoices
    for each row when (new.generation < old.generation) execute function refuse_record_change();

create table stripe_attempts (
    id bigint generated always as identity primary key,
    invoice_id uuid not null references invoices,
    step text not null,
    generation integer not null,
    idempotency_key text not null,
    request_hash text not null,
    sent_at timestamptz not null,
    answered_at timestamptz,
    outcome text check (outcome in ('applied', 'not_applied', 'unknown')),
    http_status integer,
    stripe_request_id text,
    error_code text,
    error_message text,
    check ((outcome is null) = (answered_at is null))
);
comment on table stripe_attempts is
    'every request to Stripe, written before it is sent; outcome null: in flight, or the process died: unknown';
create index on stripe_attempts (invoice_id, id);
create index on stripe_attempts (idempotency_key);
-- An answer is written down once.
create trigger refuse_other_change before update or delete on stripe_attempts
    for each row execute function refuse_other_change(
        '{answered_at,outcome,http_status,stripe_request_id,error_code,error_message}'
    );
create trigger refuse_record_change before update on stripe_attempts
    for each row when (old.outcome is not null) execute function refuse_record_change();

-- When the next requests to Stripe are due: one row for the account and one per endpoint, made when first asked for.
-- Times are the server's. Unlogged: no commit waits for the disk, and after a crash of the server all start again.
create unlogged table stripe_pace (
    bucket text primary key,
    next_at timestamptz not null default '-infinity',
    taken timestamptz[] not null default '{}',
    slowed_to double precision check (slowed_to > 0),
    slowed_at timestamptz,
    check ((slowed_to is null) = (slowed_at is null))
) with (fillfactor = 50);
comment on column stripe_pace.bucket is '''account'', or an endpoint';
comment on column stripe_pace.next_at is 'of an endpoint: no request before then';
comment on column stripe_pace.taken is
    'of the account: when requests are due that wait, in order; one that a killed process left passes like any other';
comment on column stripe_pace.slowed_to is 'requests per second right after the last 429; grows with time since slowed_at';

-- What Stripe sent. The key makes it once per event; a row is written in the transaction that applies the event.
create table stripe_events (
    id text primary key,
    type text not null,
    created_at timestamptz not null,
    received_at timestamptz not null,
    source text not null check (source in ('webhook', 'polling')),
    object_id text not null,
    invoice_id uuid references invoices,
    livemode boolean not null,
    idempotency_key text,
    paid_at timestamptz,
    next_attempt_at timestamptz,
    error text,
    outcome text not null check (outcome in ('applied', 'superseded', 'ignored', 'waiting', 'conflict')),
    reason text not null,
    code text,
    customer_text text,
    operator_text text,
    alerted_at timestamptz,
    recovery_told_at timestamptz,
    error_code text,
    check ((code is null) = (operator_text is null)),
    check (outcome = 'ignored' or invoice_id is not null),
    check (outcome in ('applied', 'conflict') or code is null),
    check (alerted_at is null or code is not null),
    check (recovery_told_at is null or alerted_at is not null)
);
comment on table stripe_events is 'events of Stripe, by webhook or polling; bodies are not kept: they name people';
comment on column stripe_events.outcome is 'waiting: for our own sync, which has not finished the invoice yet';
comment on column stripe_events.code is 'what a human is told of; alerted_at: when they were';
comment on column stripe_events.error_code is 'Stripe''s decline code, or else its error code, for a payment or finalization';
create index on stripe_events (invoice_id, created_at);
create index on stripe_events (created_at) where outcome = 'waiting';
create index on stripe_events (code) where alerted_at is null and code is not null;
-- The outcome of an event is settled once; that people were alerted is added later.
create trigger refuse_other_change before update or delete on stripe_events
    for each row execute function refuse_other_change(
        '{outcome,reason,code,customer_text,operator_text,alerted_at,recovery_told_at}'
    );
create trigger refuse_change_of_settled before update on stripe_events
    for each row when (old.outcome <> 'waiting') execute function refuse_other_change('{alerted_at,recovery_told_at}');

create table stripe_events_polled (
    only_row boolean primary key default true check (only_row),
    until timestamptz not null
);
comment on table stripe_events_polled is 'one row: every event that Stripe made before then was read';

create table sync_approvals (
    id bigint generated always as identity primary key,
    month date not null check (extract(day from month) = 1),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    total_cents bigint not null,
    approved_by text not null check (approved_by <> ''),
    approved_at timestamptz not null
);
comment on table sync_approvals is
    'totals of months that are out of line with the month before and may be sent all the same; the newest one counts';
create index on sync_approvals (month, currency, id);
create trigger refuse_record_change before update or delete on sync_approvals
    for each row execute function refuse_record_change();

create table stripe_repairs (
    id bigint generated always as identity primary key,
    stripe_invoice_id text not null,
    claimed_invoice_id text not null,
    step text not null check (step in ('discard')),
    idempotency_key text not null,
    request_hash text not null,
    run_id text not null,
    sent_at timestamptz not null,
    answered_at timestamptz,
    outcome text check (outcome in ('applied', 'not_applied', 'unknown')),
    http_status integer,
    stripe_request_id text,
    error_code text,
    error_message text,
    check ((outcome is null) = (answered_at is null))
);
comment on table stripe_repairs is
    'changes in Stripe to what says it is ours and is no invoice here, written before they are sent (see stripe_attempts)';
create index on stripe_repairs (stripe_invoice_id, id);
create trigger refuse_other_change before update or delete on stripe_repairs
    for each row execute function refuse_other_change(
        '{answered_at,outcome,http_status,stripe_request_id,error_code,error_message}'
    );
create trigger refuse_record_change before update on stripe_repairs
    for each row when (old.outcome is not null) execute function refuse_record_change();

-- What Stripe held of a month at a moment: finance sees since when both sides agree or do not.
create table stripe_reconciliations (
    id bigint generated always as identity primary key,
    month date not null check (extract(day from month) = 1),
    swept_at timestamptz not null,
    run_id text not null,
    invoices_here integer not null check (invoices_here >= 0),
    invoices_in_stripe integer not null check (invoices_in_stripe >= 0),
    totals_here jsonb not null,
    totals_in_stripe jsonb not null,
    discrepancies jsonb not null check (jsonb_typeof(discrepancies) = 'array')
);
comment on table stripe_reconciliations is 'one row per look at a month; totals: currency -> cents, voided invoices left out';
create index on stripe_reconciliations (month, swept_at desc);
create trigger refuse_record_change before update or delete on stripe_reconciliations
    for each row execute function refuse_record_change();

-- Requests per second at a moment: what is allowed, or what is left of it after a 429, growing back in a straight line.
create function stripe_pace_at(moment timestamptz, bucket stripe_pace, allowed float8, recovery_seconds float8)
returns float8 language sql as $$
    select least(
        allowed,
        bucket.slowed_to + allowed * extract(epoch from moment - bucket.slowed_at)::float8 / recovery_seconds
    )
$$;

create function lock_stripe_pace(wanted text) returns stripe_pace language plpgsql as $$
declare
    bucket stripe_pace;
begin
    loop
        select p.* into bucket from stripe_pace p where p.bucket = wanted for update;
        if found then
            return bucket;
        end if;
        insert into stripe_pace (bucket) values (wanted) on conflict do nothing;
    end loop;
end $$;

-- Books the first moment that both the endpoint and the account have free; returns the seconds until then.
-- The account's moments lie on a grid, so that an endpoint whose queue reaches far ahead leaves no gaps too small to use.
create function take_stripe_slot(
    endpoint text, endpoint_allowed float8, account_allowed float8, recovery_seconds float8
) returns float8 language plpgsql as $$
declare
    account stripe_pace := lock_stripe_pace('account'); -- always before the endpoint: two callers can't deadlock
    own stripe_pace := lock_stripe_pace(endpoint);
    moment constant timestamptz := clock_timestamp();
    own_gap constant interval := make_interval(
        secs => 1 / stripe_pace_at(moment, own, endpoint_allowed, recovery_seconds)
    );
    per_second constant float8 := stripe_pace_at(moment, account, account_allowed, recovery_seconds);
    gap constant interval := make_interval(secs => 1 / per_second);
    too_close constant interval := gap * 0.99; -- the grid is true to the microsecond only
    slot timestamptz := to_timestamp(
        ceil(extract(epoch from greatest(moment, own.next_at))::float8 * per_second - 0.01) / per_second
    );
    other timestamptz;
begin
    foreach other in array account.taken loop
        while other - slot < too_close and slot - other < too_close loop
            slot := slot + gap;
        end loop;
    end loop;
    update stripe_pace
    set taken = array(select t from unnest(account.taken || slot) as t where t > moment - gap order by t)
    where bucket = 'account';
    -- What the grid made the request late is given back to the next one.
    update stripe_pace
    set next_at = greatest(own.next_at, slot - least(gap, own_gap)) + own_gap
    where bucket = endpoint;
    return greatest(0, extract(epoch from slot - moment));
end $$;

-- Slows a bucket after a 429; returns the requests per second from now on. Refusals within `hold_seconds` of the last
-- slowing were sent before it could show: they change nothing.
create function slow_stripe_pace(
    wanted text, allowed float8, factor float8, least_allowed float8, recovery_seconds float8, hold_seconds float8
) returns float8 language plpgsql as $$
declare
    slowed stripe_pace := lock_stripe_pace(wanted);
    moment constant timestamptz := clock_timestamp();
    per_second float8 := stripe_pace_at(moment, slowed, allowed, recovery_seconds);
begin
    if slowed.slowed_at is null or slowed.slowed_at < moment - make_interval(secs => hold_seconds) then
        per_second := least(allowed, greatest(least_allowed, per_second * factor));
        update stripe_pace set slowed_to = per_second, slowed_at = moment where bucket = wanted;
    end if;
    return per_second;
end $$;

create view payment_failures as
select distinct on (e.invoice_id)
    e.invoice_id, e.id as event_id, e.code, e.error, e.customer_text, e.operator_text, e.created_at as failed_at,
    e.next_attempt_at
from stripe_events as e
join invoices as i on i.id = e.invoice_id
left join stripe_invoices as s on s.invoice_id = i.id
where e.outcome = 'applied' and i.status = 'finalized' and (
    e.type = 'invoice.payment_failed'
    or (e.type = 'invoice.finalization_failed' and s.state is distinct from 'finalized')
)
order by e.invoice_id, e.created_at desc, e.received_at desc, e.id;
comment on view payment_failures is
    'invoices whose payment (or finalization in Stripe) failed last, why, and what the customer is told; gone when over';

create view invoice_life as
select
    i.id as invoice_id, i.organization_id, i.month, i.revision,
    case
        when i.status = 'open' and b.code is not null then 'held up'
        when i.status = 'finalized' and s.state = 'finalized' then 'synced'
        else i.status
    end as stage
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id
left join billing_failures as b on b.organization_id = i.organization_id and b.month = i.month;
comment on view invoice_life is 'where an invoice stands: open, held up, finalized, synced, paid, void, uncollectible';
