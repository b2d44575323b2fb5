-- name: invoice_to_credit
-- One row or none: the organization's final invoice of the month. noted_cents: what credit notes of corrections took off
-- it. requested_cents: what requests that Stripe does not have yet will take off it.
select
    i.id as invoice_id, i.organization_id, i.currency, s.stripe_invoice_id,
    coalesce((select cast(sum(n.amount_cents) as bigint) from credit_notes as n where n.invoice_id = i.id), 0)
        as noted_cents,
    coalesce(
        (
            select cast(sum(r.amount_cents) as bigint)
            from credit_requests as r
            where r.invoice_id = i.id and r.state in ('waiting', 'pending', 'unknown')
        ),
        0
    ) as requested_cents
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id and s.state = 'finalized'
where i.organization_id = :organization_id and i.month = :month and i.origin = 'billed'
    and i.status in ('finalized', 'paid', 'uncollectible')
order by i.revision desc
limit 1;

-- name: returned_without_credit_note
-- One row: what refunds and disputes gave back of the invoice, as last read, less the refunds of its credit notes.
select
    cast(
        greatest(
            coalesce(sum(case m.kind when 'credit_note' then -m.refunded_cents else m.amount_cents end), 0), 0
        ) as bigint
    ) as cents
from stripe_money as m
where m.invoice_id = :invoice_id
    and (
        m.kind = 'refund' and m.status in ('pending', 'requires_action', 'succeeded')
        or m.kind = 'dispute' and m.status in ('needs_response', 'under_review', 'lost')
        or m.kind = 'credit_note' and m.status = 'issued'
    )
    and not exists (select from stripe_money as n where n.object_id = m.object_id and n.number > m.number);

-- name: add_credit_request
-- One row: the request, recorded. No row if the same one is recorded already.
insert into credit_requests (
    id, invoice_id, amount_cents, pays_back, why, made_by, made_at, state, taxes, updated_at
)
values (:id, :invoice_id, :amount_cents, :pays_back, :why, :made_by, :now, :state, cast(:taxes as jsonb), :now)
on conflict do nothing
returning id;

-- name: credit_requests_of
-- One row per request of this list.
select
    r.id, r.invoice_id, i.organization_id, s.stripe_invoice_id, i.currency, r.amount_cents, r.pays_back, r.why,
    r.made_by, r.state, r.generation, r.unpaid_cents, r.taxes, r.stripe_credit_note_id, r.failure,
    exists (select from adjustments as a where a.credit_request_id = r.id) as is_correction
from credit_requests as r
join invoices as i on i.id = r.invoice_id
join stripe_invoices as s on s.invoice_id = r.invoice_id
where r.id = any (:ids);

-- name: unfinished_credit_requests
-- One row per request in one of these states, oldest first.
select
    r.id, r.invoice_id, i.organization_id, s.stripe_invoice_id, i.currency, r.amount_cents, r.pays_back, r.why,
    r.made_by, r.state, r.generation, r.unpaid_cents, r.taxes, r.stripe_credit_note_id, r.failure,
    exists (select from adjustments as a where a.credit_request_id = r.id) as is_correction
from credit_requests as r
join invoices as i on i.id = r.invoice_id
join stripe_invoices as s on s.invoice_id = r.invoice_id
where r.state = any (:states)
order by r.made_at, r.id;

-- name: approve_credit_request
-- No rows. Approves a request that waits.
update credit_requests set state = 'pending', approved_by = :by, approved_at = :now, updated_at = :now
where id = :id and state = 'waiting';

-- name: move_credit_request
-- No rows. Records how far a request came. Issued ones stay.
update credit_requests set
    state = :state, generation = :generation, unpaid_cents = :unpaid_cents, taxes = cast(:taxes as jsonb),
    failure = :failure, updated_at = :now
where id = :id and state <> 'issued';

-- name: issue_credit_request
-- No rows. Records that Stripe has the credit note.
update credit_requests set
    state = 'issued', stripe_credit_note_id = :stripe_credit_note_id, failure = null, updated_at = :now
where id = :id and state <> 'issued';

-- name: withdraw_credit_request
-- One row, or none: the request, which waited for an approval or was refused, and is withdrawn now.
update credit_requests set
    state = 'withdrawn', withdrawn_by = :by, withdrawn_because = :why, withdrawn_at = :now, updated_at = :now
where id = :id and state in ('waiting', 'failed')
returning id;

-- name: correction_of_credit_request
-- One row, or none: the month whose correction the request returns, and its amount before tax.
select month, -to_minor_unit(sum(amount), currency) as amount_cents
from adjustments
where credit_request_id = :id
group by month, currency;

-- name: open_credit_requests
-- One row per request that needs a person: it waits for an approval, was refused, or did not reach Stripe since
-- :stuck_before. since: when it was asked for, or approved.
select
    r.id, i.organization_id, i.month, i.currency, r.amount_cents, r.why, r.made_by, r.state, r.failure,
    greatest(r.made_at, r.approved_at) as since
from credit_requests as r
join invoices as i on i.id = r.invoice_id
where r.state in ('waiting', 'failed')
    or (r.state in ('pending', 'unknown') and greatest(r.made_at, r.approved_at) < :stuck_before)
order by since, r.id;
