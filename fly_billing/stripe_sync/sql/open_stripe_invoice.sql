-- One row: the invoice's place in the journal, made where there is none, and its status at home.
insert into stripe_invoices (invoice_id, state, run_id, updated_at)
values (:invoice_id, 'pending', :run_id, :now)
on conflict (invoice_id) do update set run_id = excluded.run_id
returning
    state, generation, stripe_invoice_id, step,
    (select i.status from invoices as i where i.id = stripe_invoices.invoice_id) as status
