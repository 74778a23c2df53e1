"""Pictures over the network: which addresses may be asked, fetched, decoded, judged."""
