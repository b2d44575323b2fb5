-- In the days of grace two months are open: a threshold is compared with each, so each has its own mark. A message that was
-- withdrawn is told apart from one that could not be delivered.

create table threshold_checks (
    threshold_id uuid not null references spend_thresholds (id),
    month date not null check (extract(day from month) = 1)
    constraint month_is_a_day check (month >= '1970-01-01' and month < '2200-01-01'),
    as_of timestamptz not null
    constraint as_of_is_a_time check (as_of >= '1970-01-01Z' and as_of < '2200-01-01Z'),
    compared_at timestamptz not null
    constraint compared_at_is_a_time check (compared_at >= '1970-01-01Z' and compared_at < '2200-01-01Z'),
    primary key (threshold_id, month)
);
comment on table threshold_checks is
'One row per threshold on an app, product or forecast and month that it was compared with, without being reached.';
comment on column threshold_checks.month is 'The first day of the month.';
comment on column threshold_checks.as_of is
'When the newest invoice that it was compared with was calculated. It is compared again after a newer one.';
comment on column threshold_checks.compared_at is
'When it was compared last. A forecast is compared again after a while, because it changes with the days that are complete.';
create trigger refuse_truncate before truncate on threshold_checks
for each statement execute function refuse_truncate();
alter table threshold_checks enable always trigger refuse_truncate;

drop trigger refuse_other_change on spend_thresholds;
alter table spend_thresholds drop column checked_as_of;
create trigger refuse_other_change before delete or update on spend_thresholds
for each row execute function refuse_other_change('{removed_at}');
alter table spend_thresholds enable always trigger refuse_other_change;

create view thresholds_of_open_months as
select
    t.id as threshold_id, t.organization_id, o.name as organization_name, t.kind, t.subject, t.percent, t.amount_cents,
    s.month, s.currency, s.total_cents, s.computed_at
from spend_thresholds as t
join organizations as o on o.id = t.organization_id
join organization_spend as s
    on s.organization_id = t.organization_id and s.currency = t.currency and s.status = 'open'
where t.removed_at is null
    and not exists (select from spend_alerts as a where a.threshold_id = t.id and a.month = s.month);
comment on view thresholds_of_open_months is
'One row per threshold and month with an open invoice in its currency, if no alert reported it for that month yet.';
comment on column thresholds_of_open_months.threshold_id is 'The threshold.';
comment on column thresholds_of_open_months.amount_cents is 'Of the threshold; null: a percentage.';
comment on column thresholds_of_open_months.month is 'The first day of the month.';
comment on column thresholds_of_open_months.total_cents is 'The spend of the organization in the month so far.';
comment on column thresholds_of_open_months.computed_at is 'When the invoice was calculated last.';

alter table alerts
add column is_withdrawn boolean not null default false,
add constraint a_withdrawn_message_is_given_up check (not is_withdrawn or given_up_at is not null);
alter table alerts disable trigger refuse_change_of_given_up;
alter table alerts disable trigger refuse_other_change;
update alerts set is_withdrawn = true
where given_up_at is not null
    and last_refusal in ('replaced by a newer call', 'no address wants it: removed, or unsubscribed');
drop trigger refuse_other_change on alerts;
create trigger refuse_other_change before delete or update on alerts
for each row execute function refuse_other_change(
    '{next_try_at,refusals,last_refusal,taken_at,given_up_at,is_withdrawn}'
);
alter table alerts enable always trigger refuse_other_change;
alter table alerts enable always trigger refuse_change_of_given_up;
comment on column alerts.is_withdrawn is
'It was given up because a newer message replaced it, or because nobody wants it. It is never sent again.';
