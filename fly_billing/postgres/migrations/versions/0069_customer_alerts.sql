-- Alerts go to customers. A threshold has a kind. A removed one is kept: set again, it does not alert again in its month.

-- Thresholds that were removed, and have alerted, come back as removed ones.
insert into spend_thresholds (organization_id, currency, amount_cents, added_at)
select organization_id, currency, amount_cents, min(told_at) from spend_alerts
group by organization_id, currency, amount_cents
on conflict do nothing;

alter table spend_alerts drop constraint spend_alerts_pkey;
alter table spend_thresholds drop constraint spend_thresholds_pkey;
alter table spend_thresholds
add column id uuid primary key default gen_random_uuid(),
add column kind text not null default 'amount'
check (kind in ('amount', 'percent', 'app', 'product', 'forecast', 'cap')),
add column subject text check (subject ~ '\S' and length(subject) <= 500),
add column percent integer check (percent between 1 and 100000),
add column removed_at timestamptz
constraint removed_at_is_a_time check (removed_at >= '1970-01-01Z' and removed_at < '2200-01-01Z'),
add column checked_as_of timestamptz
constraint checked_as_of_is_a_time check (checked_as_of >= '1970-01-01Z' and checked_as_of < '2200-01-01Z'),
alter column amount_cents drop not null,
add constraint an_app_or_product_has_a_name check ((kind in ('app', 'product')) = (subject is not null)),
add constraint an_amount_or_a_percentage check (
    (kind = 'percent') = (percent is not null) and (kind = 'percent') = (amount_cents is null)
);
alter table spend_thresholds alter column kind drop default;
create unique index spend_thresholds_once on spend_thresholds (
    organization_id, kind, subject, currency, amount_cents, percent
) nulls not distinct;
create unique index spend_thresholds_one_cap on spend_thresholds (organization_id)
where kind = 'cap' and removed_at is null;

comment on table spend_thresholds is
'The spend of a month, including open invoices, at which the customer is alerted. A removed one is kept: set again, it does not alert again in its month.';
comment on column spend_thresholds.kind is
'What reaches it: amount: the total of the month so far; percent: the total, compared with the final invoice of the month before; app, product: the part of an app or product; forecast: the estimated total at the end of the month; cap: the total, and the platform is called.';
comment on column spend_thresholds.subject is 'The app or product.';
comment on column spend_thresholds.amount_cents is 'The amount, in cents of the currency. Null: a percentage.';
comment on column spend_thresholds.percent is 'The percentage of the last month''s final invoice.';
comment on column spend_thresholds.removed_at is 'When it was removed. Null: it alerts.';
comment on column spend_thresholds.checked_as_of is
'Of app, product and forecast: the newest invoice that it was compared with. It is compared again after a newer one.';

create trigger refuse_other_change before delete or update on spend_thresholds
for each row execute function refuse_other_change('{removed_at,checked_as_of}');
alter table spend_thresholds enable always trigger refuse_other_change;

alter table spend_alerts disable trigger refuse_record_change;
alter table spend_alerts add column threshold_id uuid references spend_thresholds (id);
update spend_alerts as a set threshold_id = t.id
from spend_thresholds as t
where t.organization_id = a.organization_id and t.currency = a.currency and t.amount_cents = a.amount_cents;
alter table spend_alerts alter column threshold_id set not null;
alter table spend_alerts enable always trigger refuse_record_change;
alter table spend_alerts add primary key (threshold_id, month);
create index on spend_alerts (organization_id, month);
update spend_thresholds as t set removed_at = clock_timestamp()
where exists (select from spend_alerts as a where a.threshold_id = t.id)
    and t.added_at = (select min(a.told_at) from spend_alerts as a where a.threshold_id = t.id);

comment on table spend_alerts is
'Thresholds that a month reached and the customer was alerted of, each once a month. Rows remain when a threshold is removed.';
comment on column spend_alerts.amount_cents is 'The amount that was reached; of a percentage, the amount that it is.';
comment on column spend_alerts.total_cents is
'The amount that reached it: the month''s total so far, the part of the app or product, or the estimate.';

-- Organizations that exist now get no first alert: it would surprise them.
create table first_alerts (
    organization_id text primary key references organizations (id),
    threshold_id uuid references spend_thresholds (id),
    decided_at timestamptz not null default now()
    constraint decided_at_is_a_time check (decided_at >= '1970-01-01Z' and decided_at < '2200-01-01Z')
);
insert into first_alerts (organization_id) select id from organizations;
comment on table first_alerts is
'Organizations of which it was decided whether they get the first alert (FLY_BILLING_FIRST_ALERT): once, so that a removed one does not come back.';
comment on column first_alerts.threshold_id is
'The threshold that was added. Null: none, because the organization is older than first alerts, or none is set for its currency.';
create trigger refuse_record_change before update or delete on first_alerts
for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on first_alerts for each statement execute function refuse_truncate();
alter table first_alerts enable always trigger refuse_record_change;
alter table first_alerts enable always trigger refuse_truncate;

alter table alerts
add column organization_id text references organizations (id),
add column given_up_at timestamptz
constraint given_up_at_is_a_time check (given_up_at >= '1970-01-01Z' and given_up_at < '2200-01-01Z'),
add constraint taken_or_given_up check (taken_at is null or given_up_at is null);
drop index alerts_id_idx;
create index alerts_waiting on alerts (channel, next_try_at) where taken_at is null and given_up_at is null;
create index on alerts (organization_id, id) where organization_id is not null;
drop trigger refuse_other_change on alerts;
create trigger refuse_other_change before delete or update on alerts
for each row execute function refuse_other_change('{next_try_at,refusals,last_refusal,taken_at,given_up_at}');
alter table alerts enable always trigger refuse_other_change;
create trigger refuse_change_of_given_up before update on alerts
for each row when (old.given_up_at is not null) execute function refuse_record_change();
alter table alerts enable always trigger refuse_change_of_given_up;
comment on table alerts is
'The outbox: one row per message and channel. taken_at and given_up_at null: not delivered yet; it is retried until it is.';
comment on column alerts.organization_id is 'The customer whom a message is for or about. Null: it is for operators.';
comment on column alerts.given_up_at is
'When delivery was given up: it was refused for good or for too long, or a newer message replaced it.';

create table spend_cap_calls (
    organization_id text not null references organizations (id),
    number integer not null check (number > 0),
    state text not null check (state in ('reached', 'lifted')),
    reason text not null
    check (reason in ('cap_reached', 'cap_raised', 'cap_removed', 'new_month', 'spend_fell')),
    month date not null check (extract(day from month) = 1)
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    currency char(3) not null constraint currency_is_a_currency check (currency ~ '^[A-Z]{3}$'),
    cap_cents bigint constraint cap_cents_is_finite check (abs(cap_cents) < 1000000000000000) check (cap_cents > 0),
    spent_cents bigint not null constraint spent_cents_is_finite check (abs(spent_cents) < 1000000000000000),
    called_at timestamptz not null
    constraint called_at_is_a_time check (called_at >= '1970-01-01Z' and called_at < '2200-01-01Z'),
    primary key (organization_id, number),
    constraint a_reached_cap_has_an_amount check (state = 'lifted' or cap_cents is not null)
);
comment on table spend_cap_calls is
'Calls of the platform''s cap hook, in order: an organization has reached its own cap, or is below it again. The newest says what the platform should know; its message is in alerts.';
comment on column spend_cap_calls.number is
'1, 2, 3 ... of each organization. The platform ignores a call with a lower number than one that it has.';
comment on column spend_cap_calls.state is 'reached: machines should stop; lifted: they may run again.';
comment on column spend_cap_calls.reason is 'Why the state changed.';
comment on column spend_cap_calls.month is 'The calendar month whose spend is compared with the cap.';
comment on column spend_cap_calls.cap_cents is 'The cap then. Null: it was removed.';
comment on column spend_cap_calls.spent_cents is 'The spend of the month then.';
comment on column spend_cap_calls.called_at is 'When the call was queued.';
create trigger refuse_record_change before update or delete on spend_cap_calls
for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on spend_cap_calls
for each statement execute function refuse_truncate();
alter table spend_cap_calls enable always trigger refuse_record_change;
alter table spend_cap_calls enable always trigger refuse_truncate;

create table alert_unsubscriptions (
    organization_id text not null references organizations (id),
    address_sha256 text not null check (address_sha256 ~ '^[0-9a-f]{64}$'),
    unsubscribed_at timestamptz not null default now()
    constraint unsubscribed_at_is_a_time check (unsubscribed_at >= '1970-01-01Z' and unsubscribed_at < '2200-01-01Z'),
    primary key (organization_id, address_sha256)
);
comment on table alert_unsubscriptions is
'Addresses that want no alerts about an organization: by the link in an e-mail. A row is deleted when alerts are wanted again.';
comment on column alert_unsubscriptions.address_sha256 is 'SHA-256 of the address in lower case, in hexadecimal.';
create trigger refuse_truncate before truncate on alert_unsubscriptions
for each statement execute function refuse_truncate();
alter table alert_unsubscriptions enable always trigger refuse_truncate;

-- The API's role can only read. By this function it can add that an address wants no alerts, whose signed link it was given.
create function unsubscribe_from_alerts(of_organization_id text, of_address_sha256 text) returns boolean
language plpgsql security definer as $$
begin
    insert into alert_unsubscriptions (organization_id, address_sha256)
    values (of_organization_id, of_address_sha256)
    on conflict do nothing;
    return found;
end $$;
revoke all on function unsubscribe_from_alerts(text, text) from public;
do $$
begin
    execute format(
        'alter function unsubscribe_from_alerts(text, text) set search_path = %I, pg_temp', current_schema()
    );
end $$;

-- The spend of an organization, which thresholds and caps compare with.
create view organization_spend as
select i.organization_id, i.month, i.currency, i.status, i.total_cents, i.computed_at
from invoices as i
where i.status <> 'void'
union all
select
    l.organization_id, i.month, i.currency, i.status, cast(sum(t.amount_cents) as bigint) as total_cents, i.computed_at
from organization_links as l
join invoices as i
    on i.organization_id = l.payer_id and i.status <> 'void'
        and daterange(l.first_month, l.last_month, '[]') @> i.month
join invoice_items as t on t.invoice_id = i.id and t.organization_id = l.organization_id
group by l.organization_id, i.id;
comment on view organization_spend is
'One row per organization and invoice that is not void: its own, or its part of the invoice of the organization that pays for it.';
comment on column organization_spend.status is 'Of the invoice: open, finalized, paid or uncollectible.';
comment on column organization_spend.total_cents is 'The invoice''s total, or the sum of the organization''s items on it.';
comment on column organization_spend.computed_at is 'When the invoice was calculated last.';
