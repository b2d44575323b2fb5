-- name: begin_stripe_attempt
-- One row: the new attempt's id. The request is sent after this is committed.
insert into stripe_attempts (invoice_id, step, generation, idempotency_key, request_hash, sent_at)
values (:invoice_id, :step, :generation, :idempotency_key, :request_hash, :now)
returning id;

-- name: correct_refused_details
-- No rows. Takes an organization's corrected details into those of its final invoices among these that Stripe refused
-- because of them.
update invoice_details as kept set
    name = coalesce(d.legal_name, g.name), legal_name = d.legal_name, email = d.email, line1 = d.line1,
    line2 = d.line2, postal_code = d.postal_code, city = d.city, state = d.state, country = d.country,
    tax_ids = d.tax_ids, purchase_order = d.purchase_order, memo = d.memo, footer = d.footer
from invoices as i
join organizations as g on g.id = i.organization_id
join billing_details as d on d.organization_id = i.organization_id
join stripe_invoices as s on s.invoice_id = i.id
where i.id = any (:ids) and kept.invoice_id = i.id and s.stripe_invoice_id is null
    and s.step in ('create_customer', 'update_customer', 'add_tax_id', 'remove_tax_id', 'create')
    and s.state in ('failed', 'needs_attention');

-- name: end_stripe_attempt
-- No rows. Records the response to the attempt.
update stripe_attempts set
    answered_at = :now, outcome = :outcome, http_status = :http_status, stripe_request_id = :stripe_request_id,
    error_code = :error_code, error_message = :error_message
where id = :id;

-- name: fail_stripe_invoice
-- No rows. The step failed. `alerted_code` stays, so that the same failure is not alerted twice.
update stripe_invoices set
    state = :state, step = :step, failure_code = :code, failure_customer_text = :customer_text,
    failure_operator_text = :operator_text, retryable = :retryable, run_id = :run_id, updated_at = :now
where invoice_id = :invoice_id;

-- name: finalized_invoices
-- One row per invoice of this list that is finalized and ours to sync. `customer` is null if no details were kept.
select
    invoices.id, invoices.organization_id, organizations.name as organization_name, invoices.month, invoices.revision,
    invoices.currency, invoices.total_cents, invoices.number, invoices.due_on,
    cast(invoices.finalized_at at time zone 'UTC' as date) as finalized_on, to_jsonb(d) - 'seller' as customer
from invoices
join organizations on organizations.id = invoices.organization_id
left join invoice_details as d on d.invoice_id = invoices.id
where invoices.id = any (:ids) and invoices.status <> 'open' and invoices.origin = 'billed'
order by invoices.organization_id, invoices.revision;

-- name: invoices_not_created
-- One row per invoice of this list that has something to pay and that, by our journal, is not in Stripe: it has no
-- Stripe id, and no create request of its generation that Stripe may have applied. (A request that may have been
-- applied is sent again under the same key.)
select i.id
from invoices as i
left join stripe_invoices as s on s.invoice_id = i.id
where i.id = any (:ids) and i.total_cents <> 0 and s.stripe_invoice_id is null
    and not exists (
        select from stripe_attempts as a
        where a.invoice_id = i.id and a.step = 'create' and a.generation = coalesce(s.generation, 0)
            and a.outcome is distinct from 'not_applied'
    );

-- name: invoices_to_sync
-- One row per finalized invoice of the month that should be in Stripe and is not, by our journal.
-- Not here: open, void and imported invoices.
select invoices.id
from invoices
join organizations on organizations.id = invoices.organization_id
left join stripe_invoices on stripe_invoices.invoice_id = invoices.id
where invoices.month = :month
    and invoices.status = 'finalized' and invoices.origin = 'billed'
    and organizations.billing_group = any (:groups)
    and (stripe_invoices.state is null or stripe_invoices.state not in ('finalized', 'skipped_zero'))
order by invoices.organization_id, invoices.revision;

-- name: items_of_invoices
-- One row per item of these invoices, in the invoice's order. `credit_ids` are those of the organization, where they
-- say if a one-off item is a reservation.
select
    t.id, t.invoice_id, t.position, t.kind, t.product, t.description, t.quantity, t.unit, t.amount, t.amount_cents,
    t.detail, t.period_start, t.period_end, t.interval_start, t.interval_end, t.one_off_item_id, o.occurred_at,
    case
        when t.kind = 'one_off' and t.period_start is null
            then array(select g.id from credit_grants as g where g.organization_id = t.organization_id)
    end as credit_ids
from invoice_items as t
left join one_off_items as o on o.id = t.one_off_item_id
where t.invoice_id = any (:ids)
order by t.invoice_id, t.position;

-- name: move_stripe_invoice
-- No rows. The invoice advances, and an earlier failure is cleared.
update stripe_invoices set
    state = :state, generation = :generation, step = null, stripe_invoice_id = :stripe_invoice_id,
    stripe_total_cents = :stripe_total_cents, stripe_due_cents = :stripe_due_cents,
    stripe_balance_cents = :stripe_balance_cents,
    hosted_invoice_url = :hosted_invoice_url, invoice_pdf_url = :invoice_pdf_url, stripe_number = :stripe_number,
    stripe_due_on = :stripe_due_on,
    failure_code = null, failure_customer_text = null, failure_operator_text = null, retryable = null,
    run_id = :run_id, updated_at = :now,
    finalized_at = case when :state = 'finalized' then cast(:now as timestamptz) end
where invoice_id = :invoice_id;

-- name: open_stripe_invoice
-- One row: the invoice's journal entry, created if missing, and the invoice's own status.
insert into stripe_invoices as s (invoice_id, state, run_id, updated_at)
values (:invoice_id, 'pending', :run_id, :now)
on conflict (invoice_id) do update set run_id = excluded.run_id
returning
    state, generation, stripe_invoice_id, step,
    (select i.status from invoices as i where i.id = s.invoice_id) as status -- noqa: RF01,CV06
;

-- name: organizations_without_customer
-- One row per organization of these invoices that has no customer in Stripe, by our records.
select distinct o.id, o.created_at
from invoices as i
join organizations as o on o.id = i.organization_id
where i.id = any (:ids) and o.stripe_customer_id is null;

-- name: sent_details
-- At most one row: what Stripe's customer has of us.
select sent from stripe_customers where organization_id = :organization_id;

-- name: set_sent_details
-- No rows. Records what Stripe's customer has of us.
insert into stripe_customers (organization_id, sent, sent_at)
values (:organization_id, cast(:sent as jsonb), :now)
on conflict (organization_id) do update set sent = excluded.sent, sent_at = excluded.sent_at;

-- name: set_stripe_customer
-- No rows. Sets the organization's customer. A customer that another run has set meanwhile stays.
update organizations set stripe_customer_id = :customer where id = :organization_id and stripe_customer_id is null;

-- name: stripe_attempts_of_key
-- One row per request sent under this key, oldest first.
select id, request_hash, sent_at, outcome from stripe_attempts where idempotency_key = :idempotency_key order by id;

-- name: stripe_customer_of
-- One row: the organization's customer in Stripe. Null if there is none yet.
select stripe_customer_id from organizations where id = :organization_id;

-- name: taxes_of_invoices
-- One row per tax rate on each of these invoices.
select invoice_id, name, percent, is_inclusive, category, legal_text, taxable_cents, tax_cents, shares
from invoice_taxes
where invoice_id = any (:ids)
order by invoice_id, name, percent desc, tax_rate_id;
