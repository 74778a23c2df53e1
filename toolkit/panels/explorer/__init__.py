"""The analyst's panel: filters, bars, and the users behind them."""
