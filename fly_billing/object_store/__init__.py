"""Folders in object stores (S3, GCS, Azure): their addresses, listing, copying and moving objects, and local copies.

It knows nothing of usage: the landing folder (`usage.landing_folder`) and the usage table (`usage.usage_table`) decide
which files are theirs. Settings read the environment and pass it in as `StoreAccess`.
"""
