"""The steps of a campaign: which there are, where they run, and what is done."""
