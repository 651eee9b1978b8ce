"""Who is on the other side: certificates, the authority that issues them, and mutual TLS 1.3."""
