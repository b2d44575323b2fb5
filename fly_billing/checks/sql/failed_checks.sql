-- name: clear_failed_checks
-- No rows. Removes the failures of the checked places that are not in :failing, and those that no run can check again.
delete from failed_checks as f
where f.asset = :asset
    and (
        f.check_name <> all (cast(:checks as text[]))
        or (
            (f.period, f.billing_group) in (
                select checked.period, checked.billing_group
                from unnest(cast(:periods as text[]), cast(:groups as text[])) as checked (period, billing_group)
            )
            and f.check_name || ' ' || f.period || ' ' || f.billing_group <> all (cast(:failing as text[]))
        )
        or (
            f.billing_group <> ''
            and not exists (select from organizations as o where o.billing_group = f.billing_group)
        )
        or left(f.period, 7) > :last_month
    );

-- name: add_failed_checks
-- No rows. Adds failures, or updates those that a run found before and that did not pass since.
insert into failed_checks (
    asset, check_name, period, billing_group, is_warning, wrong, reason, is_reported, failed_since, run_id
)
select
    :asset, found.check_name, found.period, found.billing_group, found.is_warning, found.wrong, found.reason,
    found.is_reported, found.failed_since, found.run_id
from unnest(
    cast(:checks as text[]), cast(:periods as text[]), cast(:groups as text[]), cast(:are_warnings as boolean[]),
    cast(:wrong as bigint[]), cast(:reasons as text[]), cast(:are_reported as boolean[]),
    cast(:since as timestamptz[]), cast(:run_ids as text[])
) as found (
    check_name, period, billing_group, is_warning, wrong, reason, is_reported, failed_since, run_id
)
on conflict (asset, check_name, period, billing_group) do update set
    is_warning = excluded.is_warning, wrong = excluded.wrong, reason = excluded.reason,
    is_reported = excluded.is_reported, run_id = excluded.run_id;

-- name: failed_checks
-- One row per check and place that fails now; of one :asset, or of all if it is null.
select
    id, asset, check_name, period, billing_group, is_warning, wrong, reason, is_reported, failed_since, run_id
from failed_checks
where asset = cast(:asset as text) or cast(:asset as text) is null
order by asset, check_name, period, billing_group;
