-- A rejected row is unresolved until its day lands again without it, or a person waives it with a reason.

-- What an estimate of the money at stake needs. Null where the row can't be read, and in rows that landed before.
alter table rejected_usage
add column happened_at timestamptz constraint happened_at_is_a_time
check (happened_at >= '1970-01-01Z' and happened_at < '2200-01-01Z'),
add column quantity numeric constraint quantity_is_a_quantity check (quantity >= 0 and quantity < 1e20),
add column read_dimensions text;
comment on column rejected_usage.happened_at is 'The time of the row, if it can be read.';
comment on column rejected_usage.quantity is 'The quantity of the row, if it can be read and is not negative.';
comment on column rejected_usage.read_dimensions is
'The dimensions of its meter as JSON, null for a missing one; null if no meter, or several meters, read the row.';

create table rejected_usage_waivers (
    landing_day date not null check (landing_day >= '1970-01-01' and landing_day < '2200-01-01'),
    path text not null,
    line bigint not null check (line >= 0),
    reason text not null check (reason <> ''),
    content_sha256 text not null check (content_sha256 ~ '^[0-9a-f]{64}$'),
    because text not null check (because ~ '\S'),
    waived_by text not null check (waived_by ~ '\S'),
    waived_at timestamptz not null check (waived_at >= '1970-01-01Z' and waived_at < '2200-01-01Z'),
    primary key (landing_day, path, line, reason, content_sha256)
);
comment on table rejected_usage_waivers is
'One row per rejected row that a person decided not to bill. It applies to this content in this place only.';
comment on column rejected_usage_waivers.content_sha256 is
'The SHA-256 of the row''s text, or of the whole file if that was rejected (line 0).';
create trigger refuse_record_change before update or delete on rejected_usage_waivers
for each row execute function refuse_record_change();
create trigger refuse_truncate before truncate on rejected_usage_waivers
for each statement execute function refuse_truncate();
alter table rejected_usage_waivers enable always trigger refuse_record_change;
alter table rejected_usage_waivers enable always trigger refuse_truncate;

create view unresolved_rejections as
with shown as (
    select
        r.landing_day, r.path, r.line, r.reason, r.message, r.event_id, r.meter, r.organization_id, r.happened_at,
        r.quantity, r.read_dimensions, regexp_replace(r.path, '[0-9]+', '#', 'g') as usage_source,
        case
            when
                r.happened_at is null
                or r.reason in ('bad_time', 'time_too_early', 'time_in_future', 'before_organization')
                then r.landing_day
            else cast(r.happened_at at time zone 'UTC' as date)
        end as usage_day,
        encode(sha256(convert_to(case when r.line = 0 then f.sha256 else r.raw end, 'UTF8')), 'hex') as content_sha256
    from rejected_usage as r
    join usage_files as f on f.landing_day = r.landing_day and f.path = r.path
)

select shown.*
from shown
where not exists (
    select from rejected_usage_waivers as w
    where w.landing_day = shown.landing_day and w.path = shown.path and w.line = shown.line
        and w.reason = shown.reason and w.content_sha256 = shown.content_sha256
);
comment on view unresolved_rejections is
'Rejected rows that nobody fixed or waived. usage_source: the path with # for numbers. usage_day: the day of the usage'
', or the landing day if the row has no credible time.';
