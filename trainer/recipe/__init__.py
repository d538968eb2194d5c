"""Settings of the recipe of a training; config.Config joins them."""
