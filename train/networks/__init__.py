"""Networks: built, loaded, saved and identified."""
