"""The bus: a port (``port``), Redis Streams (``redis_streams``) and memory (``memory``)."""
