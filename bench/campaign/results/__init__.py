"""What the records of a campaign say: tables and a figure."""
