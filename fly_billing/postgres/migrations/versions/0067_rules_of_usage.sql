-- A landing day whose files are as they landed is not read again, and an organization without new events is not rolled up
-- again, unless the rules have changed.

alter table landing_days add column rules text
constraint landing_days_rules_check check (rules ~ '^[0-9a-f]{32}$');
comment on column landing_days.rules is
'Hash of the meters, contracts and code by which the rows of the day were judged. The day is read again under other ones. Null: always read again.';

alter table usage_snapshots add column rules text
constraint usage_snapshots_rules_check check (rules ~ '^[0-9a-f]{32}$');
comment on column usage_snapshots.rules is
'Hash of the meters, prices and code by which the usage was rolled up. It is rolled up again under other ones. Null: always rolled up again.';
