"""What goes over the wire: the requests and answers of the HTTP API, with nothing behind them.

It knows pydantic alone, so that a client can be shipped with it.
"""
