"""The contracts a host trusts: the manifest, its signed envelope, and what changed from one to the next."""
