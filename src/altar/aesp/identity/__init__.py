"""Who asks: from whatever proves it to one `Principal`.

What an enterprise's own provider vouches for comes in as a `Login`, is admitted once, and gets a token of this host.
The data plane knows three proofs only, each checked in memory: that token, an API key, and the certificate of the
connection.
"""

from __future__ import annotations
