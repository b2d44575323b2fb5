-- name: adjustments_to_bill
-- One row per adjustment of an earlier month that no other invoice has, with who paid that month: `payer_id`, one of these
-- organizations, gets it. A void invoice keeps what it billed, but for the one that is made in its place. Left out:
-- adjustments of an invoice that is void itself: nothing of it is owed any more, and one made in its place has the
-- difference in it.
select
    a.payer_id as organization_id, a.organization_id as about, a.id, a.month, a.product, a.description, a.amount,
    a.currency,
    a.causes, coalesce(g.pays = 'gross', false) as is_after_tax
from adjustments as a
left join credit_grants as g on g.id = a.credit_grant_id
where a.payer_id = any (:organizations) and a.month < :month and a.credit_note_id is null
    and not exists (select from invoices as i where i.id = a.invoice_id and i.status = 'void')
    and not exists (
        select from invoice_items as t
        join invoices as holder on holder.id = t.invoice_id
        where t.adjustment_id = a.id and not (holder.month = :month and holder.status in ('open', 'void'))
    )
order by a.payer_id, a.month, a.made_at, a.id;

-- name: credits_of_fees
-- One row per subscription, interval and credit: what the credit paid, on other invoices, of the fees that they charged for
-- it, less what it got back of them; in the order in which credits are drawn. The same invoices and intervals count as in
-- `fees_charged`. The `amount` is above zero, and has the taxes on the fee in it where the credit pays after tax.
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
-- One row per discount that holds for these payers in this month, in the order in which they are taken off.
-- One whose times nobody can calculate with is there as well, so that it is refused and not passed over in silence.
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
-- One row per subscription, interval and discount: what other invoices took off the fees that they charged for it. The same
-- invoices and intervals count as in `fees_charged`. The `amount` is above zero.
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
-- One row per one-off item on the final invoices of the month that bill these organizations, as the invoice has it: what
-- was changed of the item since is nothing to it.
select t.organization_id, o.id, t.description, t.amount, i.currency, t.product
from invoices as i
join invoice_items as t on t.invoice_id = i.id
join one_off_items as o on o.id = t.one_off_item_id
where i.month = :month and i.status not in ('open', 'void') and t.organization_id = any (:organizations)
order by t.organization_id, o.occurred_at, o.id;

-- name: rollups_to_price
-- One row per usage rollup of these snapshots; dimensions as text, as many rows have the same ones.
select usage_snapshots.organization_id, r.id, r.meter, r.dimensions::text as dimensions, r.segment_start,
    r.segment_end, r.quantity
from usage_rollups as r
join usage_snapshots on usage_snapshots.id = r.snapshot_id
where r.snapshot_id = any (:snapshots)
order by usage_snapshots.organization_id, r.meter, r.dimensions, r.segment_start;

-- name: subscriptions_to_bill
-- One row per subscription of these organizations that runs at some time in the month or the next, or is in :charged; and of
-- those by longer intervals, that ran at some time in the year before: an interval may be due that is not over.
-- One whose times nobody can calculate with is there as well, so that it is refused and not passed over in silence.
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
