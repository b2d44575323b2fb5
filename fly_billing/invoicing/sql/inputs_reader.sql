-- name: adjustments_to_bill
-- One row per adjustment of an earlier month that no other invoice has, for the payer of that month. Items of a void
-- invoice stay on it, except for its own reissue. Not here: adjustments of an invoice that is void itself, because
-- nothing of it is owed and its reissue includes the difference.
select
    a.payer_id as organization_id, a.organization_id as about, a.id, a.month, a.product, a.description, a.amount,
    a.currency,
    a.causes, coalesce(g.pays = 'gross', false) as is_after_tax
from adjustments as a
left join credit_grants as g on g.id = a.credit_grant_id
where a.payer_id = any (:organizations) and a.month < :month
    and num_nonnulls(a.credit_note_id, a.credit_request_id) = 0
    and not exists (select from invoices as i where i.id = a.invoice_id and i.status = 'void')
    and not exists (
        select from invoice_items as t
        join invoices as holder on holder.id = t.invoice_id
        where t.adjustment_id = a.id and not (holder.month = :month and holder.status in ('open', 'void'))
    )
order by a.payer_id, a.month, a.made_at, a.id;

-- name: credits_of_fees
-- One row per subscription, interval and credit: the amount that the credit paid for the interval's fees on other
-- invoices, less refunds, in the order in which credits are drawn. The same invoices and intervals count as in
-- `fees_charged`. `amount` is above zero; it includes the taxes on the fee if the credit pays after tax.
select
    t.subscription_id, t.interval_start, g.id as grant_id, g.description, g.pays, sum(part.amount) as amount
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join invoice_items as c on c.invoice_id = t.invoice_id and c.kind = 'credit'
join credit_grants as g on g.id = c.credit_grant_id
cross join lateral jsonb_to_recordset(
    (c.detail -> 'applied_to') || coalesce(c.detail -> 'taxes_of', '[]')
) as part (item uuid, amount numeric)
where t.subscription_id = any (:subscriptions) and not t.is_void
    and t.interval_start < :next_end and t.interval_end > :month_start
    and i.month <> :month and (i.status <> 'open' or i.month < :month)
    and part.item = t.id
group by t.subscription_id, t.interval_start, g.id
having sum(part.amount) > 0
order by t.subscription_id, t.interval_start, g.priority, g.expires_at nulls last, g.granted_at, g.id;

-- name: discounts_in_force
-- One row per discount of these payers in this month, in the order in which they apply.
-- Discounts with invalid times are included, so that billing refuses them instead of skipping them.
select
    d.organization_id, d.id, c.code, c.description, c.percent, c.amount, c.currency, c.scope, c.rank as "order",
    d.first_month,
    d.last_month, d.redeemed_at
from discounts as d
join coupons as c on c.code = d.coupon_code
where d.organization_id = any (:organizations)
    and (
        daterange(d.first_month, d.last_month, '[]') @> cast(:month as date)
        or not isfinite(d.first_month) or not isfinite(d.last_month)
    )
order by d.organization_id, c.rank, d.redeemed_at, d.id;

-- name: discounts_of_fees
-- One row per subscription, interval and discount: the amount that the discount took off the interval's fees on other
-- invoices. The same invoices and intervals count as in `fees_charged`. `amount` is above zero.
select
    t.subscription_id, t.interval_start, d.discount_id, d.detail ->> 'code' as code, d.description,
    sum(part.amount) as amount
from invoice_items as t
join invoices as i on i.id = t.invoice_id
join invoice_items as d on d.invoice_id = t.invoice_id and d.kind = 'discount'
cross join lateral jsonb_to_recordset(d.detail -> 'applied_to') as part (item uuid, amount numeric)
where t.subscription_id = any (:subscriptions) and not t.is_void
    and t.interval_start < :next_end and t.interval_end > :month_start
    and i.month <> :month and (i.status <> 'open' or i.month < :month)
    and part.item = t.id
group by t.subscription_id, t.interval_start, d.discount_id, d.detail ->> 'code', d.description
having sum(part.amount) > 0
order by t.subscription_id, t.interval_start, d.discount_id;

-- name: one_off_items_billed
-- One row per one-off item on the final invoices of the month for these organizations, as billed: later changes of the
-- item do not matter.
select t.organization_id, o.id, t.description, t.amount, i.currency, t.product, t.period_start, t.period_end
from invoices as i
join invoice_items as t on t.invoice_id = i.id
join one_off_items as o on o.id = t.one_off_item_id
where i.month = :month and i.status not in ('open', 'void') and t.organization_id = any (:organizations)
order by t.organization_id, o.occurred_at, o.id;

-- name: rollups_to_price
-- One row per usage rollup of these snapshots. Dimensions are text, because many rows share the same ones.
select usage_snapshots.organization_id, r.id, r.quantity, r.meter, r.dimensions::text as dimensions,
    r.segment_start, r.segment_end
from usage_rollups as r
join usage_snapshots on usage_snapshots.id = r.snapshot_id
where r.snapshot_id = any (:snapshots)
order by usage_snapshots.organization_id, r.meter, r.dimensions, r.segment_start;

-- name: subscriptions_to_bill
-- One row per subscription of these organizations that runs in the month or the next, or is in :charged. If intervals
-- may be longer than a month, also those that ended in the year before, because their last interval may not be settled.
-- Subscriptions with invalid times are included, so that billing refuses them instead of skipping them.
select
    organization_id, id, price_key, started_at, ended_at, quantity, billed, proration, anchor, trial_ends_at,
    anchored_at
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
order by organization_id, started_at, id;
