"""What is learned from raw material, by the watch only: never in a request."""
