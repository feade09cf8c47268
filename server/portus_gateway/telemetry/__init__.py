"""What the gateway tells its operators: metrics and logs."""
