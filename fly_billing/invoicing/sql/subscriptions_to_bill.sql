-- One row per subscription of these organizations that runs at some time in the month or the next, or is in :charged; and of
-- those by longer intervals, that ran at some time in the year before: an interval may be due that is not over.
-- One whose times nobody can calculate with is there as well, so that it is refused and not passed over in silence.
select
    organization_id, id, price_key, started_at, ended_at, quantity, billed, proration, anchor, trial_ends_at, anchored_at
from subscriptions
where organization_id = any (:organizations)
    and (
        (
            started_at < :next_end
            and (
                ended_at is null or ended_at > :month_start
                or (
                    (anchor <> 'calendar' or price_key in (select key from prices where settings ? 'interval'))
                    and ended_at > :year_before
                )
            )
        )
        or not isfinite(started_at) or not isfinite(ended_at) or not isfinite(trial_ends_at)
        or not isfinite(anchored_at)
        or id = any (:charged)
    )
order by organization_id, started_at, id
