-- Billing an open month again calculates only the invoices whose inputs changed.

alter table invoices add column inputs_fingerprint text
constraint invoices_inputs_fingerprint_check check (inputs_fingerprint ~ '^[0-9a-f]{32}$');

comment on column invoices.inputs_fingerprint is
'Hash of everything that the invoice was calculated from: usage snapshots, purchases, terms, prices and the version of the rules. Billing an open month again leaves an invoice with equal inputs as it is. Null: always calculated again.';
