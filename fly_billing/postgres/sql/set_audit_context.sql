-- No rows. Who changes things in this transaction, and why: the triggers write it down.
select set_config('fly_billing.who', :who, true), set_config('fly_billing.why', :why, true)
