-- A landing day whose files are as they landed is not read again, unless its rows would be judged differently now.

alter table landing_days add column rules text
constraint landing_days_rules_check check (rules ~ '^[0-9a-f]{32}$');

comment on column landing_days.rules is
'Hash of the meters, contracts and code by which the rows of the day were judged. The day is read again under other ones. Null: always read again.';
