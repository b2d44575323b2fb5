-- name: days_with_rejections
-- One row per landing day with an unresolved rejected row, ascending.
select distinct landing_day from unresolved_rejections order by landing_day;

-- name: is_rejected_usage_unresolved
-- One row: true if a rejected row of this organization and month is unresolved.
select exists (
    select from unresolved_rejections
    where organization_id = :organization_id and usage_day >= :first and usage_day < :until
) as is_unresolved;

-- name: unresolved_quantities
-- One row per source, reason, organization, meter, dimensions and day of unresolved rejected rows whose usage is in
-- [:first, :until); all days if null. :source is a source of files, or the CloudEvents source of events; null: all. `readable` rows have a quantity, and `quantity` is their sum. `price_book` is
-- null if the organization does not exist, `aggregation` if not exactly one meter reads the rows.
select
    u.usage_source, u.reason, u.organization_id, u.meter, u.read_dimensions as dimensions, u.usage_day,
    min(u.landing_day) as first_landing, max(u.landing_day) as last_landing, max(d.landed_at) as landed_at,
    count(*) as rows, count(u.quantity) as readable, coalesce(sum(u.quantity), 0) as quantity, m.aggregation,
    coalesce(held.price_book, o.price_book) as price_book
from unresolved_rejections as u
join landing_days as d on d.landing_day = u.landing_day
left join organizations as o on o.id = u.organization_id
left join lateral (
    select h.price_book from organization_history as h
    where h.organization_id = o.id and h.before_month > date_trunc('month', u.usage_day)
    order by h.before_month
    limit 1
) as held on true
left join meters as m on m.key = u.meter and u.read_dimensions is not null
where u.usage_day >= coalesce(cast(:first as date), '-infinity')
    and u.usage_day < coalesce(cast(:until as date), 'infinity')
    and (
        cast(:source as text) is null or u.usage_source = :source
        or exists (
            select from rejected_usage as r
            where r.landing_day = u.landing_day and r.path = u.path and r.line = u.line and r.source = :source
        )
    )
group by
    u.usage_source, u.reason, u.organization_id, u.meter, u.read_dimensions, u.usage_day, m.aggregation,
    coalesce(held.price_book, o.price_book)
order by u.usage_source, u.reason, u.organization_id, u.meter, u.usage_day, u.read_dimensions;

-- name: unresolved_rows
-- One row per unresolved rejected row whose usage is in [:first, :until); all rows if null. :source is a source of
-- files, or the CloudEvents source of events; null: all.
select
    landing_day, usage_source, path, line, reason, message, organization_id, meter, event_id, happened_at, quantity
from unresolved_rejections
where usage_day >= coalesce(cast(:first as date), '-infinity')
    and usage_day < coalesce(cast(:until as date), 'infinity')
    and (
        cast(:source as text) is null or usage_source = :source
        or exists (
            select from rejected_usage as r
            where r.landing_day = unresolved_rejections.landing_day and r.path = unresolved_rejections.path
                and r.line = unresolved_rejections.line and r.source = :source
        )
    )
order by landing_day, path, line;

-- name: waive_rejections
-- One row: the number of unresolved rejected rows that are waived now. A null parameter selects every row.
with waived as (
    insert into rejected_usage_waivers (
        landing_day, path, line, reason, content_sha256, because, waived_by, waived_at
    )
    select landing_day, path, line, reason, content_sha256, :because, :waived_by, :waived_at
    from unresolved_rejections
    where usage_source = coalesce(:usage_source, usage_source) and reason = coalesce(:reason, reason)
        and landing_day = coalesce(cast(:landing_day as date), landing_day) and path = coalesce(:path, path)
        and line = coalesce(cast(:line as bigint), line)
        and usage_day >= coalesce(cast(:first as date), '-infinity')
        and usage_day < coalesce(cast(:until as date), 'infinity')
    returning line
)

select count(*) as number from waived;
