-- One row. Sets the lines about the seller, which invoices that become final in this transaction keep.
select set_config('fly_billing.seller', :seller, true)
