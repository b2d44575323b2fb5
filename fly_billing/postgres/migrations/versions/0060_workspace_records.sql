-- Which records a workspace of files added or named, so that it ends these only when their lines are gone.

create table workspace_records (
    kind text not null check (kind <> ''),
    record_id text not null check (record_id <> ''),
    workspace text not null check (workspace ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' and length(workspace) <= 63),
    record_key text not null check (record_key <> ''),
    primary key (kind, record_id)
);
comment on table workspace_records is
'One row per record that a workspace of files owns. When the files do not name it any more, the next apply ends it.';
comment on column workspace_records.kind is 'organization, price, subscription and so on: `workspace.rules.records.KINDS`.';
comment on column workspace_records.record_id is 'The record''s id; without one, its key in the files.';
comment on column workspace_records.workspace is 'The name in fly_billing.yaml.';
comment on column workspace_records.record_key is 'Its name in the files among all of its kind: acme/support/2026-01-10.';

create trigger refuse_truncate before truncate on workspace_records
for each statement execute function refuse_truncate();
alter table workspace_records enable always trigger refuse_truncate;
