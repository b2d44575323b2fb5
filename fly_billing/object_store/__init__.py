"""Folders in object stores (S3, GCS, Azure): their addresses, listing, copying and moving objects, and local copies.

It knows nothing of usage: what lands (`usage.landing_folder`) and what is in the usage table (`usage.usage_table`) are
decided there. Settings read the environment and pass it in as `StoreAccess`.
"""
