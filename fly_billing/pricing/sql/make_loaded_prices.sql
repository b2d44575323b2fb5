-- No rows. Where COPY puts a price book that is being loaded.
create temp table loaded_meters (like meters) on commit drop;
create temp table loaded_prices (like prices) on commit drop;
create temp table loaded_tax_rates (like tax_rates) on commit drop;
create temp table loaded_negotiated_prices (like negotiated_prices) on commit drop;
create temp table loaded_members (like price_group_members) on commit drop
