"""Figures: what was learned, what an edit became, what is to be seen, and how sure all that is."""
