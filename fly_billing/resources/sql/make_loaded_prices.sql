-- No rows. Where COPY puts a price book that is being loaded.
create temp table loaded_meters (like meters) on commit drop;
create temp table loaded_prices (like prices) on commit drop;
create temp table loaded_tax_rates (like tax_rates) on commit drop
