"""What the gateway tells its operators: metrics, logs and traces."""
