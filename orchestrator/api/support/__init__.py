"""Who acts on the fields that the API accepts: `implemented.py` says who does, `gaps.py` where nobody does."""
