-- One row per charge (key) of the invoices in :invoices, and of their adjustments; and one row with a null key per other
-- final invoice of the month and whether its charges are first-hand. `baseline`: the amount when someone last approved a
-- correction, or the invoice's own; `peak`: the highest amount since then; `current`: the amount now, with adjustments.
-- Not here: one-off items, fees in advance, adjustments, credits and taxes, which are never compared.
with final as (
    select
        i.id, i.currency, i.organization_id as payer_id,
        i.id in (select unnest(cast(:invoices as uuid[]))) as is_asked_for,  -- hashed: it may be all of the month
        greatest(
            (
                select max(d.decided_at) from correction_decisions as d
                where d.invoice_id = i.id and d.decision = 'booked' and d.approval_id is not null
            ),
            (
                select max(a.approved_at) from correction_approvals as a
                where a.month = i.month and a.currency = i.currency and a.organization_id is null
            )
        ) as approved_at
    from invoices as i
    where i.month = :month and i.status not in ('open', 'void') and i.origin = 'billed'
),

billed as (
    select
        t.invoice_id, t.organization_id, t.kind,
        concat_ws(
            '|', t.organization_id, t.kind,
            case when t.kind = 'usage' then t.price_key
            else cast(coalesce(t.subscription_id, t.discount_id, t.commitment_id) as text) end
        ) as key,
        sum(t.amount) as amount
    from final
    join invoice_items as t on t.invoice_id = final.id
    where t.kind in ('usage', 'subscription', 'discount', 'minimum', 'maximum')
        and (t.interval_end is null or t.interval_end <= :month_end)
    group by 1, 2, 3, 4
),

running as (
    select
        a.invoice_id, a.item_key as key, a.organization_id, a.made_at, a.amount, final.approved_at,
        coalesce(a.detail ->> 'kind', split_part(a.item_key, '|', 2)) as kind,
        sum(a.amount) over (partition by a.invoice_id, a.item_key order by a.made_at) as level
    from final
    join adjustments as a on a.invoice_id = final.id
),

adjusted as (
    select
        invoice_id, key, min(organization_id) as organization_id, min(kind) as kind,
        coalesce(sum(amount) filter (where made_at <= approved_at), 0) as baseline,
        max(level) filter (where approved_at is null or made_at > approved_at) as highest,
        sum(amount) as current
    from running
    group by invoice_id, key
),

levels as (
    select
        invoice_id, key,
        coalesce(billed.organization_id, adjusted.organization_id) as organization_id,
        coalesce(billed.kind, adjusted.kind) as kind,
        coalesce(billed.amount, 0) + coalesce(adjusted.baseline, 0) as baseline,
        coalesce(billed.amount, 0) + greatest(coalesce(adjusted.baseline, 0), adjusted.highest) as peak,
        coalesce(billed.amount, 0) + coalesce(adjusted.current, 0) as current
    from billed
    full join adjusted using (invoice_id, key)
)

select
    levels.invoice_id, final.currency, final.payer_id,
    case when final.is_asked_for then levels.key end as key,
    case when final.is_asked_for then levels.organization_id end as organization_id,
    case when final.is_asked_for then levels.kind end as kind,
    levels.kind in ('usage', 'subscription') as is_first_hand,
    sum(levels.baseline) as baseline,
    sum(levels.peak) as peak,
    sum(levels.current) as current,
    sum(greatest(levels.peak - levels.current, 0)) as given_back
from levels
join final on final.id = levels.invoice_id
group by 1, 2, 3, 4, 5, 6, 7
