-- Stripe asks for an invoice's total with the customer's balance: less credit there, plus what was too small to charge.
-- The statement shows this amount, because it is what the customer pays.

alter table stripe_invoices
add column stripe_due_cents bigint constraint stripe_due_cents_is_finite
check (abs(stripe_due_cents) < '1000000000000000'::bigint),
add column stripe_balance_cents bigint constraint stripe_balance_cents_is_finite
check (abs(stripe_balance_cents) < '1000000000000000'::bigint),
add constraint due_and_balance_are_known_together check ((stripe_due_cents is null) = (stripe_balance_cents is null));
comment on column stripe_invoices.stripe_due_cents is
'What Stripe asked for when it finalized the invoice: the total with the customer''s balance. Null: not recorded.';
comment on column stripe_invoices.stripe_balance_cents is
'The customer''s balance in Stripe after that: negative for credit, positive for an amount that is carried over.';

drop trigger refuse_other_change on stripe_invoices;
create trigger refuse_other_change before update or delete on stripe_invoices
for each row execute function refuse_other_change(
    '{state,step,generation,stripe_invoice_id,stripe_total_cents,stripe_due_cents,stripe_balance_cents,'
    'hosted_invoice_url,failure_code,failure_customer_text,failure_operator_text,retryable,run_id,updated_at,'
    'finalized_at,alerted_code}'
);
alter table stripe_invoices enable always trigger refuse_other_change;
