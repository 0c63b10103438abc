"""Remote black boxes: models behind an HTTP address, asked within a budget, every answer kept in a journal."""

from zest_jax.blackbox.http.box import HttpBlackBox
from zest_jax.blackbox.http.journal import Journal
from zest_jax.blackbox.http.opening import HttpSettings, from_http
from zest_jax.blackbox.http.scores import one_hot, spread_top_k

__all__ = ["HttpBlackBox", "HttpSettings", "Journal", "from_http", "one_hot", "spread_top_k"]
