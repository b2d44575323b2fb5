-- One row. Sets the author of this transaction's changes and the reason, which triggers record.
select set_config('fly_billing.who', :who, true), set_config('fly_billing.why', :why, true)
